"""export_run(): a run as a folder that predicts without it, kept only where it agrees with PyTorch.

The model file holds normalisation, network, temperature and softmax or sigmoid; export.json the
rules for channels and size and the decision; certificate.json how both agree with the run.
"""

import errno
import io
import logging
import shutil
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from .certificate import Certificate, certify, validation_samples
from .data.rasters import read_valid
from .data.samples import DataFolder, Task
from .data.scaling import normalize
from .errors import ConfigError, DiskFullError, RunError
from .files import disk_is_full, sha256_of, write_atomically
from .models import LiteUNet
from .prediction import Predictor, build_network, probabilities_of
from .progress import NoProgress, Progress
from .run import Run
from .runtime import (
    EXPORT_FILE,
    EXPORTS,
    MODEL_FILES,
    ExportedPredictor,
    ExportRecord,
    Format,
    check_installed,
    computes_in_bf16,
    is_export,
    openvino_core,
    require,
)

OPSET = 17
LEAST_ROOM = 2**16
"""Bytes: a disk with less is full."""
QUICK_AT_TRANSPOSING: tuple[Format, ...] = ("openvino", "openvino-bf16")
"""Formats with transposed convolutions that are as fast as others."""
CALIBRATION_IMAGES = 100
"""Training images that the value ranges of int8 are taken from; of more, at even distances."""


def export_run(
    run: Run | Path | str,
    wanted: Format,
    out: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Path, Certificate]:
    """Write the export and its certificate, by default into RUN/exports/FORMAT.

    An export that is there already is replaced. Raises ConfigError where what the format needs is
    not installed, RunError where the network cannot be written in it or the result does not agree
    with PyTorch; then nothing is kept.
    """
    run = run if isinstance(run, Run) else Run.open(Path(run))
    check_installed(wanted)
    if wanted == "openvino-bf16" and not computes_in_bf16():
        raise ConfigError(
            "this processor does not multiply in bf16, so that nothing would be faster or could be "
            "judged; use --format openvino"
        )
    out = Path(out or run.path / EXPORTS / wanted)
    _refuse_taken(out)
    folder = run.folder()
    validation_samples(folder)
    # before anything is loaded: what changes meanwhile makes the export stale, not wrong
    source = source_of(run)
    reference = _reference(run)
    with _whole_or_not_at_all(out) as part:
        write_export(part, wanted, reference, folder, source)
        certificate = certify(part, run, reference, folder, progress or NoProgress())
        if problem := certificate.problem():
            raise RunError(f"nothing was exported as {wanted}: {problem}")
        certificate.save(part / "certificate.json")
    return out, certificate


def source_of(run: Run) -> dict[str, str]:
    """The files that decide what a run predicts, with their SHA-256."""
    files = (run.best_file, run.decision_file, run.recipe_file)
    return {file.name: digest for file in files if (digest := sha256_of(file))}


def write_export(
    path: Path,
    wanted: Format,
    predictor: Predictor,
    folder: DataFolder,
    source: dict[str, str] | None = None,
) -> None:
    """Model file and export.json, into an existing folder."""
    record = _record(wanted, predictor, folder, source or {})
    _write_record(path, record)
    # in training mode the exporter would leave the predictor so too
    network = Portable(predictor, multiply_first=wanted in QUICK_AT_TRANSPOSING).eval()
    example = _example(network, record)
    model = path / MODEL_FILES[wanted]
    with _sentence(wanted):
        if wanted == "torch":
            _write_torchscript(network, example, model)
        else:
            _write_onnx(network, example, path / "model.onnx")
    if wanted.startswith("openvino"):
        _to_openvino(path / "model.onnx", model)
    if wanted == "openvino-int8":
        _quantize(model, ExportedPredictor.load(path), folder)
    files = {file.name: sha256_of(file) or "" for file in sorted(path.glob(f"{model.stem}.*"))}
    _write_record(path, record.model_copy(update={"files": files}))


def _write_record(path: Path, record: ExportRecord) -> None:
    write_atomically(path / EXPORT_FILE, record.model_dump_json(indent=1))


class Portable(nn.Module):
    """Pixels of the image file's type -> probabilities: what a model file holds."""

    def __init__(self, predictor: Predictor, multiply_first: bool = False) -> None:
        super().__init__()
        network = predictor.network
        quick = isinstance(network, LiteUNet)
        self.network: nn.Module = network.portable(multiply_first) if quick else network
        self.task: Task = predictor.task
        self.temperature = predictor.decision.temperature
        self.mean, self.std = predictor.mean, predictor.std

    def forward(
        self, pixels: Shaped[Tensor, "batch height width channels"]
    ) -> Float[Tensor, "batch classes height width"]:
        inputs = normalize(pixels.permute(0, 3, 1, 2), self.mean, self.std)
        return probabilities_of(self.network(inputs) / self.temperature, self.task)


def smallest_side(network: nn.Module) -> int:
    """Least height and width that it takes; where it has none, 1."""
    return int(getattr(network, "smallest", 1))


def _reference(run: Run) -> Predictor:
    """The run in PyTorch, in fp32 on the CPU. Raises RunError where the network is one's own."""
    recipe = run.recipe().without_pretrained()
    expected = build_network(recipe, run.description(), None).state_dict().keys()
    if run.best_weights().keys() != expected:
        raise RunError(
            f"{run.path} holds a network that delineo models does not list; export writes only "
            "those: use torch.export with your own, or train one of the list"
        )
    predictor = Predictor.load(run, device="cpu")
    predictor.precision = "fp32"
    return predictor


def _record(
    wanted: Format, predictor: Predictor, folder: DataFolder, source: dict[str, str]
) -> ExportRecord:
    first, _ = read_valid(folder.part("train")[0].image)
    return ExportRecord(
        format=wanted,
        task=predictor.task,
        classes=predictor.classes,
        channels=predictor.channels,
        pixels="uint8" if first.dtype == np.uint8 else "float32",
        trained_on=predictor.trained_on,
        image_size=predictor.image_size,
        scale=predictor.scale,
        smallest=smallest_side(predictor.network),
        decision=predictor.decision,
        source=source,
        footprint=predictor.footprint(),
    )


def _example(network: Portable, record: ExportRecord) -> Tensor:
    """Pixels that make the network take every step that it may skip.

    With an odd size at each level, a U-Net resizes at each; where sizes agree that changes nothing.
    """
    least = smallest_side(network.network)
    strided = any(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in network.modules())
    side = least + 1 if strided else 2 * least - 1
    side = max(side, 33 if least == 1 else side)
    shape = (2, side, side, record.channels)
    return torch.zeros(shape, dtype=getattr(torch, record.pixels))


def _write_torchscript(network: nn.Module, example: Tensor, file: Path) -> None:
    """Through memory: where a disk is full, PyTorch ends the whole process."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(network, example, check_trace=False), buffer)
    write_atomically(file, buffer.getvalue())


def _write_onnx(network: nn.Module, example: Tensor, file: Path) -> None:
    """By tracing, which unlike torch.export takes every network at any height and width."""
    torch.onnx.export(
        network,
        (example,),
        str(file),
        dynamo=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_axes={
            "image": {0: "batch", 1: "height", 2: "width"},
            "probabilities": {0: "batch", 2: "height", 3: "width"},
        },
    )


def _to_openvino(onnx_file: Path, file: Path) -> None:
    openvino = require("openvino", "openvino")
    openvino.save_model(openvino_core().read_model(str(onnx_file)), str(file), False)
    onnx_file.unlink()


def _quantize(file: Path, exported: ExportedPredictor, folder: DataFolder) -> None:
    """Weights and activations to int8, with ranges from training images (NNCF)."""
    openvino = require("openvino", "openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nncf = require("nncf", "openvino-int8")
        nncf.set_log_level(logging.WARNING)
        samples = folder.part("train")
        every = max(1, len(samples) // CALIBRATION_IMAGES)
        views = [exported.view(read_valid(sample.image)[0])[None] for sample in samples[::every]]
        model = openvino_core().read_model(str(file))
        model = nncf.quantize(
            model,
            nncf.Dataset(views),
            subset_size=len(views),
            # leaky units have a small part below zero, which wants a range of its own
            preset=nncf.QuantizationPreset.MIXED,
            # what a skip joins would share one range, the encoder's features with the decoder's
            ignored_scope=nncf.IgnoredScope(types=["Concat"], validate=False),
        )
        smaller = file.with_name("quantized.xml")
        openvino.save_model(model, str(smaller), False)
    for suffix in (".xml", ".bin"):
        smaller.with_suffix(suffix).replace(file.with_suffix(suffix))


@contextmanager
def _sentence(wanted: Format) -> Iterator[None]:
    """Without the tracer's warnings of what never changes; its errors as one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(
            f"this network cannot be written as {wanted} ({reason}); --format torch takes all"
        ) from error


def _refuse_taken(out: Path) -> None:
    """Raises RunError where `out` holds anything but an earlier export."""
    taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if taken and not is_export(out):
        raise RunError(f"{out} is there already and is no export; choose another --out")


@contextmanager
def _whole_or_not_at_all(out: Path) -> Iterator[Path]:
    """A folder that takes the place of `out` at the end, or is removed where anything fails.

    Raises DiskFullError where that is why.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    part.mkdir()
    try:
        yield part
        _take_the_place(part, out)
    except BaseException as error:
        # other programs' files do not tell why they cannot be written
        full = disk_is_full(error) or shutil.disk_usage(part).free < LEAST_ROOM
        shutil.rmtree(part, ignore_errors=True)
        if full and isinstance(error, Exception):
            raise DiskFullError(
                f"{out.parent}: the disk is full, and nothing was exported; make room"
            ) from error
        raise


def _take_the_place(part: Path, out: Path) -> None:
    """`part` becomes `out`, whole at any moment, though others may do the same at the same time.

    Who has the files of the earlier export open goes on with them.
    """
    old = part.with_suffix(".old")
    while not _renamed(part, out):
        with suppress(FileNotFoundError):
            out.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _renamed(part: Path, out: Path) -> bool:
    """False where another folder has that name."""
    try:
        part.rename(out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
