"""Tables of run-length codes, as competitions give masks."""

from pathlib import Path

import pytest
from laid_out import Tree

from delineo.data.layouts import find_layout
from delineo.data.samples import MaskRuns
from delineo.errors import DataError


def _table(root: Path, text: str, name: str = "train.csv") -> Path:
    (root / name).write_text(text)
    return root


SEVERSTAL = {
    "ImageId,ClassId,EncodedPixels": "a.jpg,1,1 3\na.jpg,3,2 4\nb.jpg,1,9 9",
    "ImageId_ClassId,EncodedPixels": "a.jpg_1,1 3\na.jpg_3,2 4\nb.jpg_1,9 9\nb.jpg_3,\nc.jpg_1,",
}


@pytest.mark.parametrize("header", list(SEVERSTAL))
def test_severstal_tables(tree: Tree, header: str) -> None:
    root = tree("train_images/a.jpg train_images/b.jpg train_images/c.jpg test_images/d.jpg")
    _table(root, "ImageId,EncodedPixels,ClassId\nd.jpg,1 409600,1", "sample_submission.csv")
    layout = find_layout(_table(root, f"{header}\n{SEVERSTAL[header]}\n"))
    assert (layout.declared.task, layout.declared.classes) == ("multilabel", ("1", "3"))
    assert {sample.id: sample.mask for sample in layout.samples} == {
        "a": MaskRuns(((0, "1 3"), (1, "2 4"))),
        "b": MaskRuns(((0, "9 9"),)),
        "c": MaskRuns(()),
    }


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_from_spreadsheets(tree: Tree, separator: str) -> None:
    root = tree("train_images/a.jpg train_images/b.jpg")
    text = "\ufeffImageId,ClassId,EncodedPixels\r\na.jpg,1,1 3\r\nb.jpg,2,9 9\r\n"
    layout = find_layout(_table(root, text.replace(",", separator)))
    assert [sample.mask for sample in layout.samples] == [
        MaskRuns(((0, "1 3"),)),
        MaskRuns(((1, "9 9"),)),
    ]


def test_declared_classes_of_a_table(tree: Tree) -> None:
    root = _table(tree("train_images/a.jpg"), "ImageId,ClassId,EncodedPixels\na.jpg,2,1 3\n")
    (root / "dataset.yaml").write_text("classes: [hole, crack, fray]")
    layout = find_layout(root)
    assert layout.declared.classes == ("hole", "crack", "fray")
    assert layout.samples[0].mask == MaskRuns(((1, "1 3"),))
    (root / "dataset.yaml").write_text("classes: [hole]")
    with pytest.raises(DataError, match=r"class ids 2.*names the 1 classes hole"):
        find_layout(root)


def test_tgs_table_without_masks(tree: Tree) -> None:
    root = _table(tree("train/images/a.png train/images/b.png"), "id,rle_mask\na,1 3\nb,\n")
    _table(root, "id,z\na,100\nb,200\n", "depths.csv")
    layout = find_layout(root)
    assert (layout.declared.task, layout.declared.classes) == ("binary", ("salt",))
    assert [sample.mask for sample in layout.samples] == [MaskRuns(((0, "1 3"),)), MaskRuns(())]


def test_codes_of_missing_images_are_told(tree: Tree) -> None:
    root = _table(tree("train/a.jpg"), "img,rle_mask\na.jpg,1 3\ngone.jpg,1 2\n")
    assert find_layout(root).notes == (
        "train.csv has codes for 1 images that are not there: gone.jpg",
    )


def test_broken_table_names_the_line(tree: Tree) -> None:
    root = _table(tree("train/a.jpg"), "img,rle_mask\na.jpg,1 3\na.jpg\n")
    with pytest.raises(DataError, match=r"train.csv, line 3: 1 columns"):
        find_layout(root)
