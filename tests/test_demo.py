"""The demo's data: what is written, that parts are apart, and how a missing package is told."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from delineo import demo
from delineo.errors import DataError, DelineoError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nibabel", reason="needs the extra `demo`")
    return demo.make_demo_data(tmp_path_factory.mktemp("demo") / "brain")


def test_every_image_has_a_mask_of_its_size_and_the_classes(data: Path) -> None:
    images = sorted((data / "images").iterdir())
    assert len(images) == 96
    for path in images:
        image = np.asarray(Image.open(path))
        mask = np.asarray(Image.open(data / "masks" / path.name))
        assert image.shape == mask.shape == (192, 160)
        assert image.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1, 2}


def test_white_matter_is_brighter_than_grey_and_nothing_is_cut_off(data: Path) -> None:
    border = np.ones((192, 160), bool)
    border[1:-1, 1:-1] = False
    for path in (data / "images").iterdir():
        image = np.asarray(Image.open(path))
        mask = np.asarray(Image.open(data / "masks" / path.name))
        assert image[mask == 2].mean() > image[mask == 1].mean() > image[mask == 0].mean()
        assert not mask[border].any()


def test_parts_are_separated_by_gaps(data: Path) -> None:
    splits = json.loads((data / "splits.json").read_text())
    heights = {part: {int(name[-3:]) for name in names} for part, names in splits.items()}
    assert {part: len(names) for part, names in splits.items()} == {
        "train": 68,
        "val": 12,
        "test": 16,
    }
    for part, own in heights.items():
        others = set().union(*(names for other, names in heights.items() if other != part))
        assert min(abs(a - b) for a in own for b in others) > 4


def test_a_pixel_belongs_to_the_largest_share() -> None:
    grey = np.array([[200, 100, 10, 80]], np.uint8)
    white = np.array([[50, 120, 20, 80]], np.uint8)
    assert demo.tissue_mask(grey, white).tolist() == [[1, 2, 0, 0]]


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="needs the extra `demo`")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="already holds files"):
        demo.make_demo_data(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_missing_package_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(DelineoError, match=r'pip install "delineo\[demo\]"'):
        demo.make_demo_data(tmp_path / "brain")
    assert not (tmp_path / "brain").exists()


TINY = (
    "epochs=1",
    "epoch_size=4",
    "batch_size=4",
    "data.image_size=[64,64]",
    "data.workers=0",
    "model.name=unet",
    "model.width=4",
)


def test_the_demo_leaves_scores_masks_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nibabel", reason="needs the extra `demo`")
    taken = tmp_path / "demo"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    run = demo.run_demo(taken, TINY)
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]
    assert run.path == tmp_path / "demo-2" / "run"
    scores = json.loads(run.evaluation_file("test").read_text())
    assert scores["num_images"] == 16
    assert len(list((tmp_path / "demo-2" / "predictions").glob("axial-*_overlay.png"))) == 16
    assert "axial-" in run.report_file.read_text()
    printed = capsys.readouterr().out
    assert f"{scores['dataset']['mean_iou']:.3f}" in printed
    assert str(run.report_file) in printed
    assert "not medical performance" in printed
