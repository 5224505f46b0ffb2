"""The report page: what it shows, that it stands alone, what it does without some pieces."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from webpage import Page

from delineo.data.layouts import find_layout
from delineo.data.samples import DataFolder, Encoding
from delineo.decision import Decision
from delineo.errors import RunError
from delineo.evaluation import Evaluation
from delineo.metrics import count
from delineo.report import write_report
from delineo.report.cautions import cautions
from delineo.report.facts import headline
from delineo.run import Run

NUM_TEST = 10
SIDE = 32


SUMMARY = {
    "images": NUM_TEST,
    "dtypes": {"uint8": NUM_TEST},
    "empty_masks": 0,
    "size": {key: [SIDE, SIDE] for key in ("min", "median", "max")},
    "sizes": 1,
    "class_pixels": {"<b>cell</b>": 0.1875},
    "class_images": {"<b>cell</b>": {"train": 0, "val": 0, "test": NUM_TEST}},
}


def shifted(image: np.ndarray) -> np.ndarray:
    """A prediction that is the bright square, moved down by as many pixels as image[0, 0] says."""
    mask = (image[..., 0] > 128).astype(np.uint8)
    return np.roll(mask, int(image[0, 0, 0]), axis=0)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Binary data whose n-th image asks `shifted` for an error of n pixels."""
    root = tmp_path / "data"
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for index in range(NUM_TEST):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[8:20, 8:24] = 1
        image = np.repeat(mask[..., None] * 200, 3, axis=2)
        image[0, 0] = index
        Image.fromarray(image).save(root / "images" / f"case{index}.png")
        Image.fromarray(mask * 255).save(root / "masks" / f"case{index}.png")
    layout = find_layout(root)
    return DataFolder(
        root=root,
        layout=layout.name,
        task="binary",
        classes=("<b>cell</b>",),
        channels=3,
        encoding=Encoding(values={0: 0, 255: 1}),
        samples=layout.samples,
        splits={
            "train": (),
            "val": (),
            "test": tuple(sorted(sample.id for sample in layout.samples)),
        },
        assumptions=("255 was taken to mean the object.",),
    )


@pytest.fixture
def run(folder: DataFolder, tmp_path: Path) -> Run:
    """A run of that data with two epochs, not yet evaluated."""
    run = Run.create(tmp_path / "run & more")
    run.recipe_file.write_text("monitor: auto\nseed: 7\n")
    finding = {
        "code": "alike",
        "severity": "warning",
        "message": "Two images look alike",
        "files": ["case1.png"],
        "fix": "Look at them.",
    }
    run.write_dataset(folder, {"findings": [finding], "summary": SUMMARY})
    for number, score in ((1, 0.5), (2, 0.8)):
        scores = {"mean_iou": score, "mean_dice": score}
        run.log_epoch(
            {
                "epoch": number,
                "loss": 1.0 / number,
                "lr": 0.001,
                "seconds": 61.0 * number,
                "val": {"loss": 1.2 / number, "dataset": scores, "per_image": scores},
                "score": score,
                "best": True,
            }
        )
    return run


def evaluate(run: Run, folder: DataFolder, part: str = "test") -> dict[str, Any]:
    """Write and return the evaluation of `shifted`."""
    counts = {}
    for index in range(NUM_TEST):
        name = f"case{index}"
        image = np.asarray(Image.open(folder.root / "images" / f"{name}.png"))
        mask = np.asarray(Image.open(folder.root / "masks" / f"{name}.png")) // 255
        counts[name] = count(shifted(image), mask, 1, "binary")
    Evaluation.of(folder, "test", counts).save(run.evaluation_file("test"))
    record = json.loads(run.evaluation_file("test").read_text())
    record["split"] = part
    run.evaluation_file("test").unlink()
    run.evaluation_file(part).write_text(json.dumps(record))
    return record


def test_page_stands_alone_and_is_well_formed(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    page = write_report(run.path, shifted)
    assert page == run.report_file
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.links
    assert {link.partition(":")[0] if ":" in link else link[0] for link in parsed.links} <= {
        "data",
        "#",
    }
    text = page.read_text()
    assert "<script" not in text
    assert "@import" not in text
    assert "url(http" not in text
    assert page.stat().st_size < 3_000_000


def test_headline_is_the_score_with_its_interval(run: Run, folder: DataFolder) -> None:
    record = evaluate(run, folder)
    text = Page(write_report(run.path, shifted)).text
    low, high = record["per_image"]["interval95"]["mean_iou"]
    assert f"{record['per_image']['mean_iou']:.3f} Mean IoU, average of images" in text
    assert f"lies between {low:.3f} and {high:.3f}" in text
    assert "10 test images that the model had never seen" in text
    assert record["empty_policy"] in text


def test_competition_scores_are_shown(run: Run, folder: DataFolder) -> None:
    scores = evaluate(run, folder)["competition"]
    text = Page(write_report(run.path, shifted)).text
    for name, words in (
        ("tgs_precision", "TGS Salt: mean precision over IoU 0.50 to 0.95"),
        ("severstal_mean_dice", "Severstal: mean Dice"),
    ):
        low, high = scores["interval95"][name]
        assert f"{words} {scores[name]:.3f} {low:.3f} to {high:.3f}" in text
    assert "Severstal: Dice of" not in text


def test_the_page_says_what_was_resampled(run: Run, folder: DataFolder) -> None:
    record = evaluate(run, folder)
    assert "take the images to be independent" in Page(write_report(run.path, shifted)).text
    run.evaluation_file("test").write_text(json.dumps(record | {"resampled": "groups"}))
    text = Page(write_report(run.path, shifted)).text
    assert "resampling whole groups" in text
    assert "take the images to be independent" not in text


def test_scores_of_masks_that_are_no_longer_made(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    default = Decision.default("binary", folder.classes)
    warning = "decided in another way than decision.json says now"
    for decision, warned in (
        (default, False),
        (default.model_copy(update={"temperature": 2.0}), True),
    ):
        run.decision_file.write_text(decision.model_dump_json())
        assert (warning in Page(write_report(run.path, shifted)).text) == warned


def test_data_training_and_recipe_are_shown(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    text = Page(write_report(run.path, shifted)).text
    for words in (
        "Two images look alike",
        "Look at them.",
        "255 was taken to mean the object.",
        "Height x width 32 x 32",
        "2 epochs in 2m02s",
        "The weights of epoch 2 were kept, with a validation score of 0.800",
        "seed: 7",
        "delineo train 'run & more/recipe.yaml' --out 'run & more-again'",
    ):
        assert words in text


def test_names_cannot_become_markup(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    page = write_report(run.path, shifted).read_text()
    assert "&lt;b&gt;cell&lt;/b&gt;" in page
    assert "<b>cell" not in page


def test_examples_are_best_median_and_worst(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    page = write_report(run.path, shifted).read_text()
    shown = re.findall(r"</b><code>(\w+)</code>", page)
    assert shown == [f"case{index}" for index in (0, 1, 2, 3, 4, 5, 9, 8, 7)]
    uris = re.findall(r'src="data:image/webp;base64,([^"]+)"', page)
    assert len(uris) == 4 * len(shown)
    for uri in uris:
        assert Image.open(io.BytesIO(base64.b64decode(uri))).size == (SIDE, SIDE)


def test_without_an_evaluation_the_page_says_how_to_get_one(run: Run) -> None:
    text = Page(write_report(run.path)).text
    assert "Not scored yet" in text
    assert "delineo evaluate" in text
    assert "Loss" in text


def test_without_a_test_part_or_epochs_the_page_says_so(run: Run) -> None:
    record = run.dataset()
    record["splits"]["test"] = []
    run.dataset_file.write_text(json.dumps(record))
    run.metrics_file.unlink()
    text = Page(write_report(run.path)).text
    assert "The data has no test part" in text
    assert "No epoch has been finished yet" in text


def test_validation_scores_are_marked_as_too_kind(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder, "val")
    text = Page(write_report(run.path, shifted)).text
    assert "10 validation images" in text
    assert "the score is too kind" in text
    assert "never seen" not in text


def test_without_the_data_everything_but_pictures_remains(run: Run, folder: DataFolder) -> None:
    evaluate(run, folder)
    folder.root.rename(folder.root.with_name("moved"))
    text = Page(write_report(run.path, shifted)).text
    assert "No pictures:" in text
    assert "no longer at" in text
    assert "Mean IoU, average of images" in text


def test_a_run_whose_description_is_lost_is_refused(run: Run) -> None:
    run.dataset_file.write_text("{}")
    with pytest.raises(RunError, match=r"dataset\.json is not what train wrote"):
        write_report(run.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        write_report(tmp_path)


def test_cautions_name_what_weakens_the_score(run: Run, folder: DataFolder) -> None:
    record = evaluate(run, folder)
    found = headline(record, {})
    trained = {"late_gain": 0.05, "best_score": found["score"] + 0.2}
    titles = [caution.title for caution in cautions(run.dataset(), found, record, trained)]
    assert titles == [
        "Only 10 images were scored",
        "Classes found poorly",
        "Test is below validation",
        "It was still learning",
        "The data check left a warning",
        "Other images, other scores",
    ]
