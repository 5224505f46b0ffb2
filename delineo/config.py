"""The base of every settings section: load, override, save, clear errors.

An override is `section.key=value`, its value YAML: `data.image_size=[256, 256]`,
`optimizer.lr=1e-4`, `model={name: unet}`. The last of two equal keys wins.

Some sections are a choice by `name`. `model.name=segnet` on a recipe that holds another model
starts that section afresh from the defaults of the new choice, since the values in the recipe were
meant for the old one; the other overrides then apply, wherever they stand in the line.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError

from .errors import ConfigError
from .explain import chosen_section, default_name, explain
from .files import write_atomically
from .yamlfile import dump_yaml, parse_yaml, read_yaml

# Not typing.Self: shapes and types are executed in tests, function by function.
Section = TypeVar("Section", bound="Config")


class Config(BaseModel):
    """A frozen settings section. Unknown keys are refused; attribute docstrings are the help."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
    )

    @classmethod
    def load(cls: type[Section], path: Path, overrides: Sequence[str] = ()) -> Section:
        """Read a YAML file and apply overrides. Raises ConfigError with all that is wrong."""
        return cls.parse(read_yaml(path), source=str(path), overrides=overrides)

    @classmethod
    def parse(
        cls: type[Section],
        values: dict[Any, Any],
        source: str = "settings",
        overrides: Sequence[str] = (),
    ) -> Section:
        """Validate plain values with overrides applied; `source` is named in errors."""
        values = _with_names(cls, values)
        pairs = [_split(override) for override in overrides]
        # Names first: `model.width=16 model.name=unet` means the width of that U-Net.
        for keys, value in sorted(pairs, key=lambda pair: pair[0][-1] != "name"):
            values = _replaced(values, keys, value)
        values = _with_names(cls, values)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            problems = explain(error, cls, values)
        if len(problems) == 1:
            raise ConfigError(f"{source}: {problems[0]}")
        raise ConfigError("\n  ".join([f"{source}: {len(problems)} settings are wrong", *problems]))

    def override(self: Section, overrides: Sequence[str]) -> Section:
        """These settings with some of them replaced."""
        return self.parse(self.model_dump(mode="json"), overrides=overrides)

    def to_yaml(self) -> str:
        """All values, defaults included, in declaration order; `load` gives an equal Config."""
        return dump_yaml(self.model_dump(mode="json"))

    def save(self, path: Path) -> None:
        """Write the YAML in one step."""
        write_atomically(path, self.to_yaml())


def _with_names(section: type[BaseModel], values: dict[Any, Any]) -> dict[Any, Any]:
    """Where a section has a name and it is not given, the name of the default."""
    named = dict(values)
    for key, field in section.model_fields.items():
        value = values.get(key)
        if not isinstance(value, dict):
            continue
        name = default_name(field)
        if name and "name" not in value:
            value = {"name": name, **value}
        inner = chosen_section(field, value)
        named[key] = _with_names(inner, value) if inner else value
    return named


def _split(override: str) -> tuple[list[str], Any]:
    """`a.b=[1, 2]` -> (["a", "b"], [1, 2])."""
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise ConfigError(f"settings are written key=value, such as epochs=30, got {override!r}")
    try:
        return keys, parse_yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{override}: {error}; put the value in quotes if it is text") from None


def _replaced(values: dict[Any, Any], keys: list[str], value: Any) -> dict[Any, Any]:
    """A copy of `values` with one dotted key set."""
    key, *below = keys
    if below:
        section = values.get(key)
        value = _replaced(section if isinstance(section, dict) else {}, below, value)
    elif key == "name" and values.get("name") != value:
        return {"name": value}
    return {**values, key: value}


_UNITS = {"h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+(?:e-?\d+)?)s)?")


def parse_duration(value: Any) -> Any:
    """Seconds in `5m`, `90s`, `1h30m`; a number is seconds already."""
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    match = _DURATION.fullmatch(text)
    try:
        if match and text:
            return sum(
                float(n) * unit
                for n, unit in zip(match.groups(), _UNITS.values(), strict=True)
                if n
            )
        return float(text)
    except ValueError:
        raise ValueError(f"must be a time such as 5m, 90s or 1h30m, got {value!r}") from None


def spell_duration(seconds: float) -> str:
    """5400.0 -> 1h30m, without rounding; seconds that are not whole stay seconds."""
    if seconds != int(seconds) or seconds < 1:
        return f"{seconds!r}s"
    counts = (int(seconds) // 3600, int(seconds) % 3600 // 60, int(seconds) % 60)
    return "".join(f"{n}{unit}" for n, unit in zip(counts, _UNITS, strict=True) if n)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0),
    PlainSerializer(spell_duration, return_type=str),
]
"""Seconds, written as 5m, 90s, 1h30m or a plain number."""
