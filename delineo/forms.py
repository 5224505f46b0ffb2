"""open_predictor(): a run in its fastest form that gives the same masks, or an export as it is.

On a processor without a GPU that form is OpenVINO. It is written once, with a certificate, into
RUN/exports, and made anew where weights, settings or decision have changed since.
"""

import json
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import Any

from .errors import ConfigError, DelineoError, RunError
from .files import sha256_of, write_atomically
from .formats import Format, Runtime
from .origins import Model, Origin
from .progress import NoProgress, Progress
from .runtime import (
    EXPORTS,
    ExportedPredictor,
    ScalablePredictor,
    as_format,
    computes_in_bf16,
    is_export,
    load_predictor,
    read_record,
)

RUN_FILES = ("recipe.yaml", "dataset.json")
"""What tells a run; module `run` knows all of its files, and brings PyTorch."""
DECIDING_FILES = ("best.safetensors", "decision.json", "recipe.yaml")
"""What decides the predictions of a run, as `export.source_of` has it."""
REFUSED_FILE = "refused.json"
"""In RUN/exports: which formats could not be had from which weights, and why."""
WORTH_IMAGES, WORTH_BYTES = 50, 100_000_000
"""From so many images, or so much of them on disk, on an export pays: it takes half a minute."""
GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""NVIDIA's, AMD's, and that of Linux below Windows."""


def open_predictor(
    path: Path,
    runtime: Runtime = "auto",
    progress: Progress | None = None,
    *,
    often: bool = False,
) -> ScalablePredictor:
    """The predictor of a run or of an export.

    `auto`: for a run without a GPU an OpenVINO export of it that is there already, or that is
    written now where it will predict `often` enough to make that worth while; else PyTorch.
    `torch`: the run itself. A format: that export of the run, written first where it is missing or
    stale. Raises ConfigError where that runtime is not installed or `path` is an export in another,
    RunError where `path` is neither run nor export or the export cannot be had.
    """
    path, progress = Path(path), progress or NoProgress()
    if is_export(path):
        return _as_it_is(path, runtime)
    if runtime == "torch" or not is_model(path):
        return load_predictor(path)
    if runtime != "auto":
        wanted = as_format(runtime)
        return ExportedPredictor.load(fresh_export(path, wanted) or _export(path, wanted, progress))
    if find_spec("openvino") is None or has_gpu():
        return load_predictor(path)
    return _fastest(path, progress, often) or load_predictor(path)


def _as_it_is(path: Path, runtime: Runtime) -> ExportedPredictor:
    own = read_record(path).format
    if runtime not in ("auto", own):
        raise ConfigError(
            f"{path} is an export as {own} and runs as nothing else, got --runtime {runtime}; "
            "leave it out, or give the run that the export was made of"
        )
    return ExportedPredictor.load(path)


def _fastest(run: Path, progress: Progress, often: bool) -> ExportedPredictor | None:
    """The run as OpenVINO; None, and a line that says why, where it cannot be had."""
    try:
        found = _best_export(run, progress, often)
        predictor = ExportedPredictor.load(found) if found else None
    except (DelineoError, OSError) as error:
        # what else to do, after the semicolon, is for those who asked for an export
        reason = str(error).split("; ")[0]
        progress.message(f"predicting with PyTorch, as {run} cannot be had as OpenVINO: {reason}")
        return None
    if predictor:
        predictor.otherwise = cache(lambda: load_predictor(run))
    return predictor


def _best_export(run: Path, progress: Progress, often: bool) -> Path | None:
    """The fastest export there is or can be made; None where it does not predict `often`."""
    reason = None
    for wanted in _candidates():
        if found := fresh_export(run, wanted):
            return found
        if not often:
            continue
        reason = refusal(run, wanted)
        if reason is None:
            progress.message(f"exporting {run} as {wanted}, once, for faster predictions")
            try:
                return _export(run, wanted, progress)
            except RunError as error:
                reason = str(error)
    if reason:
        raise RunError(reason)
    return None


def _candidates() -> tuple[Format, ...]:
    """What is held to the masks of PyTorch in fp32, the fastest first."""
    return ("openvino-bf16", "openvino") if computes_in_bf16() else ("openvino",)


def worth_exporting(images: list[Path]) -> bool:
    """Whether there are so many images, or such large ones, that an export pays at once."""
    if len(images) >= WORTH_IMAGES:
        return True
    return sum(image.stat().st_size for image in images if image.is_file()) >= WORTH_BYTES


def fresh_export(run: Path, wanted: Format) -> Path | None:
    """The run's export in that format, if it was made of what the run is now."""
    path = run / EXPORTS / wanted
    try:
        return path if _is_unchanged(run, read_record(path).source) else None
    except RunError:
        return None


def _is_unchanged(run: Path, source: dict[str, str]) -> bool:
    same = (sha256_of(run / name) == digest for name, digest in source.items())
    return bool(source) and all(same)


def _export(run: Path, wanted: Format, progress: Progress) -> Path:
    """Write RUN/exports/FORMAT. What cannot be had is noted, so that it is not tried each time."""
    from .export import export_run, source_of
    from .run import Run

    try:
        return export_run(run, wanted, progress=progress)[0]
    except RunError as error:
        opened = Run.open(run)
        _note_refusal(run, wanted, {"source": source_of(opened), "reason": str(error)})
        raise


def refusal(run: Path, wanted: Format) -> str | None:
    """Why the run as it is now could not be exported in that format before; None: not tried."""
    noted = _refusals(run).get(wanted)
    return noted["reason"] if noted and _is_unchanged(run, noted["source"]) else None


def _refusals(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / EXPORTS / REFUSED_FILE).read_text())
    except (OSError, ValueError):
        return {}


def _note_refusal(run: Path, wanted: Format, note: dict[str, Any]) -> None:
    file = run / EXPORTS / REFUSED_FILE
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, json.dumps({**_refusals(run), wanted: note}, indent=1))


def origin_of(
    paths: Sequence[Path], augmentations: Sequence[str], runtime: Runtime = "auto"
) -> Origin:
    """What predictions with these runs and exports depend on."""
    models = tuple(Model(path=str(path), files=_sources(path)) for path in paths)
    return Origin(models=models, tta=tuple(augmentations), runtime=runtime)


def _sources(path: Path) -> dict[str, str]:
    """Of a run what an export notes of it; of an export that, and its format."""
    if is_export(path):
        record = read_record(path)
        return {**record.source, "format": record.format}
    digests = {name: sha256_of(path / name) for name in DECIDING_FILES}
    return {name: digest for name, digest in digests.items() if digest}


def leading_models(paths: Sequence[str | Path]) -> list[Path]:
    """Those at the beginning that are runs or exports: what follows them are images."""
    return list(takewhile(is_model, map(Path, paths)))


def is_model(path: Path) -> bool:
    """Whether `path` is a run or an export."""
    return is_export(path) or all((path / name).is_file() for name in RUN_FILES)


def has_gpu() -> bool:
    """Whether PyTorch would use one; where the system tells, without PyTorch: it loads slowly."""
    if sys.platform == "linux" and not any(Path(device).exists() for device in GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()
