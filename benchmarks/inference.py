"""Inference of 256x256 images, from the decoded picture to its mask: the default network in all
its forms against SMP's U-Net on the same encoder, in turn in one process.

    pip install --target ../smp --no-deps segmentation-models-pytorch timm torchvision \
        'huggingface_hub<1' tqdm
    python benchmarks/inference.py ../smp [RUN]

RUN is one of lesions at 256x256; without it one is trained for two minutes. Marks: OpenVINO bf16,
where the processor has it, at least 4 times SMP as its documentation shows it, certified int8 at
least 7 times, and 2.5 times SMP in bf16 and channels-last. A processor without bf16 emulates it, so
there the rival of the last is SMP in fp32 and channels-last, its fastest form.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import RUNS, SHARED, delineo, record
from PIL import Image

from delineo.data.images import read_image
from delineo.errors import DelineoError
from delineo.forms import open_predictor
from delineo.prediction import Predictor
from delineo.run import Run
from delineo.runtime import ExportedPredictor, MaskPredictor, computes_in_bf16

ROUNDS, IMAGES, SIDE = 15, 4, 256
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # of SMP's encoder
Segmenter = Callable[[np.ndarray], np.ndarray]


def import_smp(folder: str) -> torch.library.Library:
    """Make SMP importable; what is returned has to be kept as long as it is used."""
    sys.path.append(folder)
    # torchvision for another build of PyTorch lacks these, and nothing here calls them
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def smp_unet() -> torch.nn.Module:
    """SMP's U-Net with random weights, which take as long as others."""
    import segmentation_models_pytorch as smp

    return smp.Unet("timm-tf_efficientnet_lite0", encoder_weights=None, classes=1).eval()


def as_documented(model: torch.nn.Module) -> Segmenter:
    """Preprocessing in NumPy, fp32, no_grad, threshold."""
    from segmentation_models_pytorch.encoders._preprocessing import preprocess_input

    def segment(image: np.ndarray) -> np.ndarray:
        pixels = preprocess_input(image, MEAN, STD, input_range=[0, 1]).astype("float32")
        with torch.no_grad():
            logits = model(torch.from_numpy(pixels.transpose(2, 0, 1))[None])
        return (logits.sigmoid() > 0.5).numpy().astype(np.uint8)[0, 0]

    return segment


def channels_last(model: torch.nn.Module, bf16: bool) -> Segmenter:
    """What one does who knows: no NumPy in between, channels-last, autocast to bf16."""
    model = model.to(memory_format=torch.channels_last)
    mean, std = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    @torch.inference_mode()
    def segment(image: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        pixels = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(pixels)
        return (logits[0, 0] > 0).to(torch.uint8).numpy()

    return segment


def forms_of(run: Path) -> dict[str, MaskPredictor | str]:
    """Delineo's forms by name; for one that cannot be had, why."""
    wanted = ["torch", "openvino", "openvino-int8"]
    wanted += ["openvino-bf16"] if computes_in_bf16() else []
    found: dict[str, MaskPredictor | str] = {}
    for name in wanted:
        try:
            found[name] = open_predictor(run, name)  # pyright: ignore[reportArgumentType]
        except DelineoError as error:
            found[name] = str(error)
    return found


def network_alone(predictor: ExportedPredictor) -> Segmenter:
    return lambda image: predictor.session(image[None])


def seconds(segment: Segmenter, images: list[np.ndarray]) -> float:
    """Per image, the first of which only wakes threads and caches up."""
    segment(images[0])
    started = time.perf_counter()
    for image in images:
        segment(image)
    return (time.perf_counter() - started) / len(images)


def main(run: Path) -> None:
    samples = Run.open(run).folder().part("test")[:IMAGES]
    pictures = [Image.fromarray(read_image(sample.image)) for sample in samples]
    images = [np.array(picture.resize((SIDE, SIDE))) for picture in pictures]
    forms = forms_of(run)
    ours = {name: form for name, form in forms.items() if not isinstance(form, str)}
    arms: dict[str, Segmenter] = {
        "smp": as_documented(smp_unet()),
        "smp, channels-last": channels_last(smp_unet(), bf16=False),
        "smp, bf16 channels-last": channels_last(smp_unet(), bf16=True),
        **ours,
    }
    for name, form in ours.items():
        if isinstance(form, ExportedPredictor):
            arms[f"{name}, network alone"] = network_alone(form)
    rounds = [
        {name: seconds(arm, images) for name, arm in arms.items()} for _ in range(ROUNDS + 1)
    ][1:]
    record("inference", {**figures(rounds), **agreement(ours, run, images), "missing": {
        name: form for name, form in forms.items() if isinstance(form, str)
    }})  # fmt: skip


def figures(rounds: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Milliseconds per image, and how many times slower each of SMP's forms is."""

    def times(slow: str, fast: str) -> dict[str, float | list[float]]:
        ratios = sorted(each[slow] / each[fast] for each in rounds)
        quarter = len(ratios) // 4
        middle = [round(ratios[quarter], 2), round(ratios[-1 - quarter], 2)]
        return {"median": round(median(ratios), 2), "middle_half": middle}

    own = [name for name in rounds[0] if not name.startswith("smp")]
    return {
        "milliseconds": {n: round(1000 * median(r[n] for r in rounds), 2) for n in rounds[0]},
        "times_faster_than": {
            theirs: {name: times(theirs, name) for name in own}
            for theirs in rounds[0]
            if theirs.startswith("smp")
        },
    }


def agreement(
    forms: dict[str, MaskPredictor], run: Path, images: list[np.ndarray]
) -> dict[str, dict[str, float]]:
    """Share of mask pixels that are those of PyTorch in fp32."""
    reference = Predictor.load(run, device="cpu")
    reference.precision = "fp32"
    same = {
        name: float(np.mean([form(image) == reference(image) for image in images]))
        for name, form in forms.items()
    }
    return {"mask_agreement": {name: round(share, 5) for name, share in same.items()}}


if __name__ == "__main__":
    trained = Path(sys.argv[2]) if len(sys.argv) > 2 else RUNS / "inference"
    if not trained.exists():
        sides = f"data.image_size=[{SIDE},{SIDE}]"
        delineo("train", str(SHARED / "ph2"), "budget=2m", sides, "--out", str(trained))
    library = import_smp(sys.argv[1])
    main(trained)
