"""Downloads that are known by name: PH2, PASCAL VOC and CamVid."""

from pathlib import Path

import pytest
from laid_out import Tree, pairs

from delineo.data.layouts import find_layout


def test_ph2_download(tree: Tree) -> None:
    home = "PH2%Dataset%images/IMD002/IMD002"
    root = tree(
        f"{home}_Dermoscopic_Image/IMD002.bmp {home}_lesion/IMD002_lesion.bmp "
        f"{home}_roi/IMD002_R1_Label3.bmp"
    )
    layout = find_layout(root)
    assert (layout.name, layout.declared.classes) == ("PH2 download", ("lesion",))
    assert [mask.rpartition("/")[2] for mask in pairs(layout).values()] == ["IMD002_lesion.bmp"]


VOC = "VOCdevkit/VOC2012"


def _voc(tree: Tree) -> Path:
    files = [f"{VOC}/JPEGImages/{n}.jpg {VOC}/SegmentationClass/{n}.png" for n in "ab"]
    root = tree(f"{' '.join(files)} {VOC}/JPEGImages/z.jpg {VOC}/SegmentationObject/a.png")
    lists = root / VOC / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\nmissing\n")
    return root


@pytest.mark.parametrize("below", [".", "VOCdevkit", VOC])
def test_voc_from_each_level(tree: Tree, below: str) -> None:
    layout = find_layout(_voc(tree) / below)
    assert [(s.id, s.part) for s in layout.samples] == [("a", "train"), ("b", "test")]
    assert layout.declared.classes is not None
    assert (len(layout.declared.classes), layout.declared.ignore_value) == (21, 255)
    assert layout.declared.colors[128, 0, 0] == "aeroplane"
    assert layout.declared.colors[0, 64, 128] == "tvmonitor"
    assert [path.name for path in layout.unpaired_images] == ["missing.jpg"]


def test_voc_lists_that_windows_wrote(tree: Tree) -> None:
    root = _voc(tree)
    (root / VOC / "ImageSets/Segmentation/train.txt").write_bytes(b"\xef\xbb\xbfa\r\n")
    assert [(s.id, s.part) for s in find_layout(root).samples] == [("a", "train"), ("b", "test")]


@pytest.mark.parametrize("masks", ["trainannot", "masks"])
def test_camvids_void_is_known_by_its_ids(tree: Tree, masks: str) -> None:
    files = f"train/0001TP_006690.png {masks}/0001TP_006690.png "
    root = tree(files + f"train/Seq05VD_f0.png {masks}/Seq05VD_f0.png")
    declared = find_layout(root).declared
    if masks == "masks":  # another source, with colours perhaps
        assert declared.classes is None
    else:
        assert (len(declared.classes or ()), declared.values[11]) == (11, "ignore")


def test_voc_like_folders_of_ones_own(tree: Tree) -> None:
    root = _voc(tree)
    (root / VOC).rename(root / "mine")
    layout = find_layout(root / "mine")
    assert [sample.part for sample in layout.samples] == ["train", "val"]
    assert layout.declared.classes is None
