"""What a folder of masks was predicted with, noted in it: --resume goes on with the same alone."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from .config import Config
from .errors import ConfigError
from .files import write_atomically

NOTE = ".predicted.json"


class Model(Config):
    """A run or an export, as it was named."""

    path: str
    files: dict[str, str]
    """What decides its predictions, with SHA-256."""


class Origin(Config):
    """All that masks depend on beside the images."""

    models: tuple[Model, ...]
    tta: tuple[str, ...] = ()
    runtime: str = "auto"

    def __str__(self) -> str:
        models = " ".join(model.path for model in self.models)
        views = "".join(f" --tta {name}" for name in self.tta)
        return f"{models}{views}{'' if self.runtime == 'auto' else f' --runtime {self.runtime}'}"

    def predicts_like(self, other: "Origin") -> bool:
        """Wherever the models lie."""
        mine, theirs = ([model.files for model in each.models] for each in (self, other))
        return (mine, self.tta, self.runtime) == (theirs, other.tta, other.runtime)


def begin(out: Path, origin: Origin, files: Iterable[Path]) -> None:
    """Note what the masks in `out` are predicted with from now on.

    Raises ConfigError where nothing was predicted into it before, and one of `files`, those that
    will be written, is there: a folder of drawn masks has files of the same names.
    """
    if not (out / NOTE).exists() and (taken := next(filter(Path.exists, files), None)):
        raise ConfigError(
            f"{taken} is there already, and predict has not written it: nothing was predicted into "
            f"{out} before. Choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / NOTE, origin.model_dump_json(indent=1) + "\n")


def begun(out: Path, origin: Origin) -> int | None:
    """When masks in `out` were begun to be predicted with that, in nanoseconds as files have them.

    None where nothing is noted. Raises ConfigError where it was something else.
    """
    try:
        before = Origin.model_validate_json((out / NOTE).read_text())
    except (OSError, ValidationError):
        return None
    if not origin.predicts_like(before):
        raise ConfigError(
            f"{out} was predicted with {before}, {_difference(before, origin)}; --resume would mix "
            "the masks of both. Predict all anew without --resume, or choose another --out"
        )
    return (out / NOTE).stat().st_mtime_ns


def _difference(before: Origin, now: Origin) -> str:
    if str(before) != str(now):
        return f"and this is {now}"
    changed = {
        name
        for old, new in zip(before.models, now.models, strict=True)
        for name in old.files.keys() | new.files.keys()
        if old.files.get(name) != new.files.get(name)
    }
    return f"of which {', '.join(sorted(changed))} changed since"
