"""Every network of `delineo models` in every export format against PyTorch in fp32: share of mask
pixels that are the same, and the largest difference of a probability.

    python benchmarks/parity.py             measures, and writes the table of docs/exporting.md
    python benchmarks/parity.py --table     writes the table from what was recorded

Weights are random, as are the statistics of normalisation layers, so that nothing is near zero by
itself; images are smooth colours at four sizes. Mark: 0.999 of the pixels in float formats. Of int8
random weights say little: each export is held to the scores of its own run.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, record
from pages import write_between
from PIL import Image
from torch import nn

from delineo.data.images import read_image
from delineo.data.samples import DataFolder, Encoding, MaskFile, Sample
from delineo.decision import Decision
from delineo.errors import RunError
from delineo.export import write_export
from delineo.models import ModelConfig, build_model
from delineo.models.catalogue import choose_network, list_networks
from delineo.prediction import Predictor
from delineo.recipe import Recipe
from delineo.runtime import ExportedPredictor, Format, computes_in_bf16

PAGE = Path(__file__).resolve().parents[1] / "docs" / "exporting.md"
START, END = "<!-- parity: written by benchmarks/parity.py -->", "<!-- end of parity -->"

CLASSES = ("a", "b", "c")
SIZES = ((96, 96), (128, 64), (75, 110), (33, 200))
FORMATS: tuple[Format, ...] = ("onnx", "openvino", "torch", "openvino-int8")


def predictor_of(config: ModelConfig) -> Predictor:
    """With random weights, and statistics as after a training."""
    data = {"image_size": [96, 96], "scale": 1.0, "mean": [127.0] * 3, "std": [64.0] * 3}
    recipe = Recipe.parse({"data": data, "precision": "fp32"})
    recipe = recipe.model_copy(update={"model": config})
    torch.manual_seed(0)
    network = build_model(config, 3, len(CLASSES))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    described = DataFolder(Path(), "parity", "multiclass", CLASSES, 3, Encoding(), (), {})
    decision = Decision.default("multiclass", CLASSES)
    return Predictor(network.eval(), recipe, described, decision)


def colours(size: tuple[int, int], seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(picture)


def pictures(root: Path) -> DataFolder:
    """The images as files, all of them for training, which int8 takes its ranges from."""
    samples = []
    for index, size in enumerate(SIZES):
        file = root / f"{index}.png"
        Image.fromarray(colours(size, index)).save(file)
        samples.append(Sample(str(index), file, MaskFile(file)))
    ids = tuple(sample.id for sample in samples)
    return DataFolder(
        root, "parity", "multiclass", CLASSES, 3, Encoding(), tuple(samples), {"train": ids}
    )


def compare(predictor: Predictor, wanted: Format, folder: DataFolder) -> dict[str, float | str]:
    """The figures of a certificate; for a format that cannot be written, why."""
    with tempfile.TemporaryDirectory() as out:
        try:
            write_export(Path(out), wanted, predictor, folder)
        except RunError as error:
            return {"refused": str(error)}
        exported = ExportedPredictor.load(Path(out))
        images = [read_image(sample.image) for sample in folder.samples]
        maps = [(predictor.probabilities(image), exported.probabilities(image)) for image in images]
    same = [np.mean(own.argmax(0) == theirs.argmax(0)) for own, theirs in maps]
    largest = max(float(np.abs(own - theirs).max()) for own, theirs in maps)
    return {
        "mask_agreement": round(float(np.mean(same)), 6),
        "largest_probability_difference": float(f"{largest:.2g}"),
    }


def measure() -> None:
    formats = (*FORMATS, "openvino-bf16") if computes_in_bf16() else FORMATS
    with tempfile.TemporaryDirectory() as root:
        folder = pictures(Path(root))
        figures = {}
        for network in list_networks(3, len(CLASSES)):
            settings = ["model.pretrained=false"] if network.name == "lite_unet" else []
            predictor = predictor_of(choose_network(network.name, settings))
            figures[network.name] = {name: compare(predictor, name, folder) for name in formats}
            print(network.name, figures[network.name], flush=True)
    record("parity", figures)


def table() -> str:
    """Markdown: equal pixels of each network in each format, and the largest difference."""
    figures = json.loads((RESULTS / "parity.json").read_text())["figures"]
    formats = list(next(iter(figures.values())))
    lines = [f"| network | {' | '.join(formats)} |", "| --- |" + " --- |" * len(formats)]
    for network, found in figures.items():
        cells = " | ".join(_cell(found[name]) for name in formats)
        lines.append(f"| {network} | {cells} |")
    return "\n".join(lines)


def _cell(found: dict[str, float | str]) -> str:
    if "refused" in found:
        return "refused"
    share, largest = found["mask_agreement"], found["largest_probability_difference"]
    return f"{100 * float(share):.2f} %, {largest}"


if __name__ == "__main__":
    if "--table" not in sys.argv:
        measure()
    write_between(PAGE, START, END, table())
