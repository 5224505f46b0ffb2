"""ExportedPredictor: what `export` wrote, predicting without PyTorch.

The model file takes pixels and gives probabilities at the size that the network looks at. What
stands around it, sizes and decision, is NumPy and the code that a run's own Predictor uses.
"""

from collections.abc import Callable
from copy import copy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from pydantic import Field, ValidationError

from .config import Config
from .data.samples import Task
from .data.sizing import (
    Scale,
    match_channels,
    pad_to_least,
    refuse_depth,
    rescaled,
    resize_maps,
    resize_pixels,
    scaled_size,
)
from .decision import Decision, decide
from .errors import ConfigError, DataError, RunError
from .files import sha256_of
from .formats import Format
from .tiles import Footprint, probabilities

MODEL_FILES = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "openvino-bf16": "model.xml",
    "openvino-int8": "model.xml",
    "torch": "model.pt",
}
EXPORT_FILE = "export.json"
EXPORTS = "exports"
"""The folder of a run's exports, each called like its format."""
Session = Callable[[np.ndarray], np.ndarray]
"""Pixels (batch, height, width, channels) -> probabilities (batch, classes, height, width)."""


@runtime_checkable
class MaskPredictor(Protocol):
    """A run or an export, ready to use."""

    @property
    def task(self) -> Task: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the network looks at, for scale "fit" their product."""
        ...

    @property
    def scale(self) -> Scale: ...

    @property
    def decision(self) -> Decision: ...

    def footprint(self) -> Footprint:
        """What cutting images into windows must know of the network."""
        ...

    def __call__(self, image: np.ndarray) -> np.ndarray: ...

    def probabilities(self, image: np.ndarray) -> np.ndarray: ...


@runtime_checkable
class ScalablePredictor(MaskPredictor, Protocol):
    """One whose network can be shown images at another size."""

    def at_scale(self, factor: float) -> "ScalablePredictor": ...


class ExportRecord(Config):
    """export.json: all that a runtime needs to know beside the model file.

    Normalisation and temperature are in the model file already.
    """

    format: Format
    task: Task
    classes: tuple[str, ...]
    channels: int
    pixels: Literal["uint8", "float32"]
    """Type of the model's input; its values are those of the image file."""
    trained_on: tuple[str, ...] = ()
    """Types of the pixels of the images it was trained on; empty: not known."""
    image_size: tuple[int, int]
    """Height and width that the network looks at, for scale "fit" their product."""
    scale: Scale
    smallest: int
    """Least height and width of the model's input; smaller images repeat their last row, column."""
    decision: Decision
    source: dict[str, str] = Field(default_factory=dict)
    """The files of the run that it was made of, with their SHA-256."""
    files: dict[str, str] = Field(default_factory=dict)
    """The model's files with their SHA-256, so that a copy that is not whole is told."""
    footprint: Footprint = Footprint()
    """For images that are cut into windows."""


class ExportedPredictor:
    """An export, called like the Predictor of its run."""

    def __init__(self, record: ExportRecord, session: Session) -> None:
        self.record, self.session = record, session
        self.otherwise: Callable[[], ScalablePredictor] | None = None
        """What predicts images of a type that the export does not take; None: they are refused."""
        self.task: Task = record.task
        self.classes, self.channels = record.classes, record.channels
        self.decision = record.decision

    @classmethod
    def load(cls, path: Path) -> "ExportedPredictor":
        """From a folder that `export` wrote.

        Raises RunError where it is none or broken, ConfigError where its runtime is not installed.
        """
        record = read_record(path)
        _refuse_damaged(Path(path), record)
        return cls(record, open_session(record.format, Path(path) / MODEL_FILES[record.format]))

    def at_scale(self, factor: float) -> "ExportedPredictor":
        """The same network, seeing images `factor` times as large."""
        other, record, otherwise = copy(self), self.record, self.otherwise
        if otherwise:
            other.otherwise = lambda: otherwise().at_scale(factor)
        image_size, scale = rescaled(record.image_size, record.scale, factor)
        other.record = record.model_copy(update={"image_size": image_size, "scale": scale})
        return other

    def __call__(self, image: np.ndarray) -> UInt8[np.ndarray, "*planes height width"]:
        """Mask of an image (height, width, channels), as that of Predictor."""
        return decide(self.probabilities(image), self.decision)

    def probabilities(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """Probability of each class at each pixel of the image, 0 to 1, float32.

        An image that is too large for the memory is answered in windows. Raises ShapeError where
        an image has other axes than height, width and channels, DataError where channels or type do
        not fit or pixels are no finite numbers.
        """
        return probabilities(self, image)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width that the network looks at, for scale "fit" their product."""
        return self.record.image_size

    @property
    def scale(self) -> Scale:
        return self.record.scale

    def footprint(self) -> Footprint:
        """What cutting images into windows must know of the network."""
        return self.record.footprint

    def at_once(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """`probabilities` of an image (height, width, channels) that fits in memory."""
        if self.otherwise and not self.takes(image):
            return self.otherwise().probabilities(image)
        view = self.view(image)
        maps = self.session(pad_to_least(view, self.record.smallest)[None])[0]
        own = maps[:, : view.shape[0], : view.shape[1]]
        return resize_maps(own, (image.shape[0], image.shape[1]))

    def view(self, image: np.ndarray) -> Shaped[np.ndarray, "height width channels"]:
        """The image at the size and with the channels that the network looks at."""
        record = self.record
        refuse_depth(image, record.trained_on)
        if not self.takes(image):
            raise DataError(
                f"the export takes 8-bit images like those it was trained on, got {image.dtype}; "
                "convert the image, or predict with the run itself"
            )
        size = scaled_size((image.shape[0], image.shape[1]), record.image_size, record.scale)
        pixels = match_channels(image, record.channels).astype(record.pixels, copy=False)
        return np.ascontiguousarray(resize_pixels(pixels, size))

    def takes(self, image: np.ndarray) -> bool:
        """Whether the model file has a place for pixels of that type."""
        return self.record.pixels == "float32" or image.dtype == np.uint8


def _refuse_damaged(path: Path, record: ExportRecord) -> None:
    """Raises RunError where a file of the model is not the one that was certified."""
    for name, digest in record.files.items():
        if sha256_of(path / name) != digest:
            raise RunError(
                f"{path / name} cannot be read: it is missing, incomplete or not the file that was "
                "certified; copy the whole folder again, or export again"
            )


def load_predictor(path: Path) -> ScalablePredictor:
    """The predictor of a run or of an export, whichever `path` is; PyTorch only for a run."""
    if is_export(path):
        return ExportedPredictor.load(path)
    from .prediction import Predictor

    return Predictor.load(path)


def is_export(path: Path) -> bool:
    """Whether `path` is a folder that `export` wrote."""
    return (Path(path) / EXPORT_FILE).is_file()


def read_record(path: Path) -> ExportRecord:
    """Raises RunError where there is no export.json or it is broken."""
    file = Path(path) / EXPORT_FILE
    try:
        record = ExportRecord.model_validate_json(file.read_text())
        decision = record.decision.for_classes(record.task, record.classes)
    except (OSError, ValidationError) as error:
        raise RunError(
            f"{file} is not what export wrote ({_in_a_line(error)}); export again"
        ) from error
    return record.model_copy(update={"decision": decision})


def _in_a_line(error: Exception) -> str:
    """Its own words; of what spreads over many lines, the last that says something."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def as_format(name: str) -> Format:
    """Raises ConfigError where there is no such format."""
    for known in get_args(Format):
        if name == known:
            return known
    raise ConfigError(f"--format is one of {', '.join(get_args(Format))}, got {name!r}")


def check_installed(wanted: Format) -> None:
    """Raises ConfigError where the format's runtime is not installed."""
    needed = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
    require(needed[wanted.split("-")[0]], wanted.split("-")[0])


def require(module: str, extra: str) -> Any:
    """An optional package. Raises ConfigError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module} is not installed; install it with: pip install 'delineo[{extra}]'"
        ) from error


def open_session(wanted: Format, file: Path) -> Session:
    """The model file in its runtime, on the CPU. Raises RunError where it cannot be read."""
    check_installed(wanted)
    openers = {"onnx": _open_onnx, "torch": _open_torch, "openvino-bf16": _open_openvino_bf16}
    try:
        return openers.get(wanted, _open_openvino)(file)
    except Exception as error:
        raise RunError(f"{file} cannot be read ({_in_a_line(error)}); export again") from error


def _open_onnx(file: Path) -> Session:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run(None, {"image": pixels})[0])


def _open_openvino(file: Path, precision: Literal["f32", "bf16"] = "f32") -> Session:
    # without the hint some processors compute in bf16, and masks change
    hints = {"INFERENCE_PRECISION_HINT": precision}
    compiled = openvino_core().compile_model(str(file), "CPU", hints)
    return lambda pixels: compiled(pixels)[0]


def _open_openvino_bf16(file: Path) -> Session:
    return _open_openvino(file, "bf16" if computes_in_bf16() else "f32")


def computes_in_bf16() -> bool:
    """Whether OpenVINO finds that this processor multiplies in bf16."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def openvino_core() -> Any:
    """OpenVINO's entry point: one for the process, and as long as it.

    Each gives the thread another stack for signals and takes it away at its end. After two that
    end in the order of their beginning, the next signal with a handler kills the process.
    """
    return require("openvino", "openvino").Core()


def _open_torch(file: Path) -> Session:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(str(file))

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> np.ndarray:
        # PyTorch warns of arrays that may not be written
        return model(torch.from_numpy(np.require(pixels, requirements="W"))).numpy()

    return run
