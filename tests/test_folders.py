"""Real data folders, as people have them on disk, all the way: check, train, evaluate, predict."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

import delineo
from delineo.data.check import Checkup, check_folder
from delineo.data.images import read_image
from delineo.data.samples import Part
from delineo.errors import DataError
from delineo.evaluation import evaluate
from delineo.outputs import predict_files
from delineo.prediction import Predictor
from delineo.targets import Wanted, file_names

SHARED = Path(__file__).parents[2] / "shared/data"
TINY = (
    "model.name=unet", "model.width=4", "model.depth=2", "data.image_size=[64,64]",
    "epochs=1", "epoch_size=8", "batch_size=4",
)  # fmt: skip
FOLDERS = {
    "ph2": ("binary", 1),
    "carvana": ("binary", 1),
    "tgs_salt": ("binary", 1),
    "isbi2012_em": ("binary", 1),
    "voc2012": ("multiclass", 21),
    "camvid": ("multiclass", 11),
    "magnetic_tile_severstal_format": ("multilabel", 5),
}


def needed(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"needs ../shared/data/{name}")
    return SHARED / name


def only_a_few(checkup: Checkup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training take this checkup as it is, with the first images of each part."""
    assert checkup.folder is not None
    splits = {part: checkup.folder.splits[part][:4] for part in get_args(Part)}
    few = replace(checkup, folder=replace(checkup.folder, splits=splits))
    monkeypatch.setattr("delineo.startup.check_folder", lambda *_: few)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_all_the_way(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    root, (task, classes) = needed(name), FOLDERS[name]
    checkup = check_folder(root)
    assert checkup.ok, checkup.of("error")
    folder = checkup.folder
    assert folder is not None
    assert (folder.task, len(folder.classes)) == (task, classes)
    assert all(folder.part(part) for part in get_args(Part))

    only_a_few(checkup, monkeypatch)
    run = delineo.train(root, TINY, out=tmp_path / "run")
    predictor = Predictor.load(run)

    evaluation = evaluate(predictor, run.folder(), "test")
    assert len(evaluation.ids) == 4
    for block in ("dataset", "per_image"):
        assert 0 <= evaluation.scores[block]["mean_iou"] <= 1
        assert 0 < evaluation.scores[block]["pixel_accuracy"] <= 1

    images = [sample.image for sample in folder.part("test")[:2]]
    result = predict_files(predictor, images, tmp_path / "masks", Wanted(overlay=True))
    assert result.done == images
    endings = (
        [f"_{label}" for label in file_names(folder.classes)] if task == "multilabel" else [""]
    )
    for image in images:
        for ending in endings:
            with Image.open(tmp_path / "masks" / f"{image.stem}{ending}.png") as mask:
                assert (mask.height, mask.width) == read_image(image).shape[:2]
                limit = 255 if task == "multilabel" else max(1, classes - 1)
                assert np.array(mask).max() <= limit


def test_a_single_case_is_understood_but_not_enough_to_train(tmp_path: Path) -> None:
    root = needed("ph2-original-layout")
    folder = check_folder(root).folder
    assert folder is not None
    assert (folder.task, len(folder.samples)) == ("binary", 1)
    with pytest.raises(DataError, match="training needs at least one"):
        delineo.train(root, TINY, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
