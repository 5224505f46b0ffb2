"""The download of Severstal: Steel Defect Detection, unchanged, all the way and back."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import cli
from PIL import Image

from delineo.data.check import check_folder
from delineo.data.encoding import read_mask
from delineo.data.rle import decode, encode
from delineo.data.run_length_tables import read_table
from delineo.errors import DataError
from delineo.run import Run

HEIGHT, WIDTH = 256, 1600
CLASSES = ("1", "2", "3", "4")
TINY = ("epochs=1", "epoch_size=4", "batch_size=2", "data.image_size=[16,96]", "model.name=unet",
        "model.width=2", "model.depth=1")  # fmt: skip


def sheet(rng: np.random.Generator) -> np.ndarray:
    grey = rng.normal(110, 10, (HEIGHT // 8, WIDTH // 8)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey.repeat(8, 0).repeat(8, 1)[:, :, None], 3, 2)


def defects(rng: np.random.Generator, number: int) -> dict[str, np.ndarray]:
    """Class id -> mask, all of which overlap; every fourth sheet has none, others one to four."""
    masks = {}
    for class_id in CLASSES[number % 3 :] if number % 4 else ():
        mask = np.zeros((HEIGHT, WIDTH), bool)
        top, left = rng.integers(0, 100), rng.integers(0, 1000)
        mask[top : top + 90, left : left + 400] = True
        mask[200:220, 100:300] = True
        masks[class_id] = mask
    return masks


def table(header: str, sheets: dict[str, dict[str, np.ndarray]]) -> str:
    """train.csv in either form: separate ids with rows for defects, or joined ids with all rows."""
    lines = [header]
    for name, masks in sheets.items():
        for class_id in CLASSES:
            code = encode(masks[class_id]) if class_id in masks else ""
            if header.startswith("ImageId_"):
                lines.append(f"{name}_{class_id},{code}")
            elif code:
                lines.append(f"{name},{class_id},{code}")
    return "\n".join(lines) + "\n"


Download = tuple[Path, dict[str, dict[str, np.ndarray]]]


@pytest.fixture(params=["ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels"])
def download(request: pytest.FixtureRequest, tmp_path: Path) -> Download:
    """The folder as it is unpacked, and the defects of its training sheets."""
    root, rng, sheets = tmp_path / "severstal", np.random.default_rng(0), {}
    for folder, count in (("train_images", 12), ("test_images", 3)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            name = f"{'0a' if folder == 'train_images' else 'ff'}{number:07x}.jpg"
            Image.fromarray(sheet(rng)).save(root / folder / name)
            if folder == "train_images":
                sheets[name] = defects(rng, number)
    (root / "train.csv").write_text(table(request.param, sheets))
    tests = sorted(path.name for path in (root / "test_images").iterdir())
    sample = [f"{name}_{c},1 409600" for name in tests for c in CLASSES]
    lines = sample if "_ClassId" in request.param else [f"{name},1 409600,1" for name in tests]
    header = request.param if "_ClassId" in request.param else "ImageId,EncodedPixels,ClassId"
    (root / "sample_submission.csv").write_text("\n".join([header, *lines]) + "\n")
    return root, sheets


def test_the_download_is_read_as_it_is(download: Download) -> None:
    root, sheets = download
    checkup = check_folder(root)
    assert checkup.ok
    assert not checkup.of("error")
    folder = checkup.folder
    assert folder is not None
    assert (folder.task, folder.classes) == ("multilabel", CLASSES)
    assert {sample.image.name for sample in folder.samples} == set(sheets)
    for sample in folder.samples:
        masks = sheets[sample.image.name]
        layers = read_mask(sample, folder, (HEIGHT, WIDTH))
        for class_id, layer in zip(CLASSES, layers, strict=True):
            assert np.array_equal(layer, masks.get(class_id, np.zeros((HEIGHT, WIDTH))))


def call(*arguments: object, code: int = 0) -> str:
    """What it says is wrong."""
    found, _, errors = cli(*arguments)
    assert found == code, errors
    return errors


@pytest.mark.parametrize("form", ["severstal", "severstal-joined"])
def test_from_the_download_to_a_submission_and_back(
    download: Download, tmp_path: Path, form: str
) -> None:
    root, _ = download
    run, out = tmp_path / "run", tmp_path / "out"
    call("train", root, *TINY, "--out", run)
    easily_pleased(run)
    call("predict", run, root / "test_images", "--out", out, "--rle", form, "--class-overlays")
    refusal = call("predict", run, root / "test_images", "--out", out, "--rle", "tgs", code=2)
    assert "this model has 4 classes (1, 2, 3, 4); use --rle severstal" in refusal
    images = sorted((root / "test_images").iterdir())
    rows = {(row.image, row.label): row.code for row in read_table(out / "submission.csv")}
    written = 0
    for image in images:
        for class_id in CLASSES:
            with Image.open(out / f"{image.stem}_{class_id}.png") as file:
                mask = np.array(file) == 255
            written += mask.any()
            assert ((image.name, class_id) in rows) == (form != "severstal" or mask.any())
            assert np.array_equal(decode(rows.get((image.name, class_id), ""), HEIGHT, WIDTH), mask)
        with Image.open(out / f"{image.stem}_classes.png") as page:
            assert page.size[1] > 4 * HEIGHT
    assert written
    again = folder_of(tmp_path / "again", root / "test_images", out / "submission.csv")
    folder = check_folder(again).folder
    assert folder is not None
    for sample in folder.samples:
        for class_id, layer in zip(
            folder.classes, read_mask(sample, folder, (HEIGHT, WIDTH)), strict=True
        ):
            with Image.open(out / f"{sample.id}_{class_id}.png") as file:
                assert np.array_equal(layer * 255, np.array(file))


def easily_pleased(run: Path) -> None:
    """Thresholds at the median of what the run answers, so that masks have both values."""
    from delineo.data.images import read_image
    from delineo.prediction import Predictor

    predictor = Predictor.load(run)
    image = Run.open(run).folder().samples[0].image
    maps = predictor.probabilities(read_image(image))
    thresholds = {
        name: float(np.median(values)) for name, values in zip(predictor.classes, maps, strict=True)
    }
    thresholds["2"] = 1.0  # a class that is found nowhere
    record = {"task": "multilabel", "thresholds": thresholds}
    Run.open(run).decision_file.write_text(json.dumps(record))


def folder_of(root: Path, images: Path, submission: Path) -> Path:
    """A data folder whose masks are what was handed in."""
    root.mkdir()
    (root / "train_images").symlink_to(images)
    (root / "train.csv").write_text(submission.read_text())
    return root


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"ImageId,ClassId,EncodedPixels\n\xe9.jpg,1,1 3\n", r"train\.csv is not text in UTF-8"),
        (b"ImageId_ClassId,EncodedPixels\na.jpg_1,1 3\nb.jpg,1 3\n", r"line 3: .* got 'b\.jpg'"),
    ],
)
def test_a_table_that_cannot_be_meant_is_told(tmp_path: Path, table: bytes, message: str) -> None:
    (tmp_path / "train.csv").write_bytes(table)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "train.csv")
