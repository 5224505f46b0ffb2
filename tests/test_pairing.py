"""Which mask belongs to which image, in folders of any names."""

import pytest
from laid_out import Tree, pairs, pieces, unpaired

from delineo.data.layouts import find_layout
from delineo.data.samples import MaskLayers
from delineo.errors import DataError


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("images/a.jpg masks/a.png", {"a": "masks/a.png"}),
        ("imgs/a.jpg masks/a_mask.gif", {"a": "masks/a_mask.gif"}),
        ("image/a.jpg label/a.png", {"a": "label/a.png"}),
        ("img/a.jpg gt/a_gt.png", {"a": "gt/a_gt.png"}),
        ("images/a.jpg annotations/a.png", {"a": "annotations/a.png"}),
        ("images/a.tif labels/a-mask.tif", {"a": "labels/a-mask.tif"}),
        ("images/a.jpg masks/a.mask.png", {"a": "masks/a.mask.png"}),
        ("images/a.jpg segmentation/a_segmentation.png", {"a": "segmentation/a_segmentation.png"}),
        ("images/img_7.png masks/mask_7.png", {"img_7": "masks/mask_7.png"}),
        ("images/7.png masks/mask_7.png", {"7": "masks/mask_7.png"}),
        ("Images/A.JPG Masks/A.PNG", {"A": "Masks/A.PNG"}),
        ("d/JPEGImages/a.jpg d/Annotations/a.png", {"a": "d/Annotations/a.png"}),
        ("data/a.jpg data/a_mask.png", {"a": "data/a_mask.png"}),
        ("a.jpg a_mask.png", {"a": "a_mask.png"}),
        ("p1/s_1.tif p1/s_1_mask.tif", {"s_1": "p1/s_1_mask.tif"}),
        ("train/104_sat.jpg train/104_mask.png", {"104_sat": "train/104_mask.png"}),
        ("a.jpg a.png", {"a": "a.png"}),
        ("train/a.jpg train_masks/a_mask.gif", {"a": "train_masks/a_mask.gif"}),
        ("x/0.jpg x/1.jpg xy_masks/0.png", {"0": "xy_masks/0.png"}),
        (
            "leftImg8bit/u_leftImg8bit.png gtFine/u_color.png gtFine/u_gtFine_labelIds.png",
            {"u_leftImg8bit": "gtFine/u_gtFine_labelIds.png"},
        ),
        (
            "ISIC_Training_Input/I_1.jpg ISIC_Training_GroundTruth/I_1_segmentation.png",
            {"I_1": "ISIC_Training_GroundTruth/I_1_segmentation.png"},
        ),
        (
            "train/a.png train_labels/a_L.png val/b.png val_labels/b_L.png",
            {"a": "train_labels/a_L.png", "b": "val_labels/b_L.png"},
        ),
    ],
)
def test_pairs_are_found(tree: Tree, files: str, expected: dict[str, str]) -> None:
    assert pairs(find_layout(tree(files))) == expected


@pytest.mark.parametrize(
    "pattern",
    ["{}/images/{}.jpg {}/masks/{}.png", "images/{}/{}.jpg masks/{}/{}.png"],
)
@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("training", "validation", "testing"), ("Train", "valid")]
)
def test_parts_come_from_folders(tree: Tree, pattern: str, names: tuple[str, ...]) -> None:
    files = " ".join(pattern.format(name, name, name, name) for name in names)
    layout = find_layout(tree(files))
    parts = {sample.id: sample.part for sample in layout.samples}
    assert parts == dict(zip(names, ("train", "val", "test"), strict=False))


def test_a_single_part_is_none(tree: Tree) -> None:
    layout = find_layout(tree("train/images/a.png train/masks/a.png test/images/b.png"))
    assert [(sample.id, sample.part) for sample in layout.samples] == [("a", None)]
    assert any("test/images/ is left out: 1 images without masks" in n for n in layout.notes)


def test_equal_stems_get_their_path_as_id(tree: Tree) -> None:
    files = "train/images/0.png train/masks/0.png val/images/0.png val/masks/0.png"
    layout = find_layout(tree(files + " val/images/1.png val/masks/1.png"))
    assert pairs(layout) == {
        "train/images/0": "train/masks/0.png",
        "val/images/0": "val/masks/0.png",
        "1": "val/masks/1.png",
    }


def test_same_place_wins_over_same_stem(tree: Tree) -> None:
    files = "images/x/0.png images/y/0.png masks/x/0_mask.png masks/y/0_mask.png"
    layout = find_layout(tree(files))
    assert pairs(layout) == {
        "images/x/0": "masks/x/0_mask.png",
        "images/y/0": "masks/y/0_mask.png",
    }


def test_unpaired_files_are_told(tree: Tree) -> None:
    layout = find_layout(tree("images/a.png images/b.png masks/a.png masks/c.png readme.png"))
    assert [path.name for path in layout.unpaired_images] == ["b.png"]
    assert [path.name for path in layout.unpaired_masks] == ["c.png"]
    assert len(unpaired(layout)) == 2


def test_hidden_files_are_no_images(tree: Tree) -> None:
    files = "images/a.png masks/a.png images/._a.png __MACOSX/images/b.png .trash/images/c.png"
    layout = find_layout(tree(files))
    assert pairs(layout) == {"a": "masks/a.png"}
    assert not unpaired(layout)


def test_one_folder_per_class_is_multilabel(tree: Tree) -> None:
    files = "images/a.jpg images/b.jpg images/c.jpg masks/crack/a.png masks/crack/b.png "
    layout = find_layout(tree(files + "masks/fray/a.png"))
    assert (layout.declared.task, layout.declared.classes) == ("multilabel", ("crack", "fray"))
    masks = {s.id: s.mask.paths for s in layout.samples if isinstance(s.mask, MaskLayers)}
    assert [path and path.name for path in masks["a"]] == ["a.png", "a.png"]
    assert masks["b"] == (layout.root / "masks/crack/b.png", None)
    assert [path.name for path in layout.unpaired_images] == ["c.jpg"]


@pytest.mark.parametrize(
    "files",
    [
        "train/images/a.jpg train/masks/crack/a.png train/masks/fray/a.png",
        "images/a.jpg masks_crack/a.png masks_fray/a.png",
        "images/a.jpg images/b.jpg masks/crack/a.png masks/fray/b.png",
    ],
)
def test_more_folders_per_class(tree: Tree, files: str) -> None:
    assert find_layout(tree(files)).declared.classes == ("crack", "fray")


def test_declared_order_of_layers(tree: Tree) -> None:
    root = tree("images/a.jpg masks/crack/a.png masks/fray/a.png")
    (root / "dataset.yaml").write_text("classes: [hole, fray, crack]")
    mask = find_layout(root).samples[0].mask
    assert isinstance(mask, MaskLayers)
    assert [path and path.parent.name for path in mask.paths] == [None, "fray", "crack"]
    (root / "dataset.yaml").write_text("classes: [hole, fray]\ntask: multilabel")
    with pytest.raises(DataError, match="folders crack, fray"):
        find_layout(root)


def test_several_masks_of_one_image_are_told(tree: Tree) -> None:
    layout = find_layout(tree("images/a.jpg masks/a.png masks_old/a.png"))
    assert pairs(layout) == {"a": "masks/a.png"}
    assert "masks_old/a.png" in layout.notes[0]


BUSI = (
    "{0}benign/benign%(1).png {0}benign/benign%(1)_mask.png {0}benign/benign%(1)_mask_1.png "
    "{0}benign/benign%(2).png {0}benign/benign%(2)_mask.png "
    "{0}normal/normal%(1).png {0}normal/normal%(1)_mask.png"
)


@pytest.mark.parametrize("above", ["", "Dataset_BUSI_with_GT/"])
def test_numbered_masks_beside_images_are_joined(tree: Tree, above: str) -> None:
    layout = find_layout(tree(BUSI.format(above)))
    assert pieces(layout) == {
        "benign (1)": [f"{above}benign/benign (1)_mask.png", f"{above}benign/benign (1)_mask_1.png"]
    }
    assert pairs(layout) == {
        "benign (2)": f"{above}benign/benign (2)_mask.png",
        "normal (1)": f"{above}normal/normal (1)_mask.png",
    }
    assert not unpaired(layout)
    assert {sample.group for sample in layout.samples} == {None}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("images/a.png masks/a_mask_1.png masks/a_mask_2.png", {"a": 2}),
        ("images/a.png masks/a_seg.png masks/a_seg2.png masks/b_seg.png", {"a": 2}),
        ("a.png a_mask.png a_mask_1.png a_mask_2.png", {"a": 3}),
        # a number that is the image's own
        ("face_mask_1.jpg face_mask_1_mask.png face_mask_2.jpg face_mask_2_mask.png", {}),
        ("images/face_mask_1.jpg masks/face_mask_1.png images/face.jpg masks/face.png", {}),
    ],
)
def test_numbered_masks(tree: Tree, files: str, expected: dict[str, int]) -> None:
    layout = find_layout(tree(files))
    assert {id: len(paths) for id, paths in pieces(layout).items()} == expected
    assert len(layout.samples) == len(expected or [name for name in files.split() if "jpg" in name])


NUCLEI = (
    "stage1_train/{0}1/images/{0}1.png stage1_train/{0}1/masks/aa0.png "
    "stage1_train/{0}1/masks/bb1.png stage1_train/{0}2/images/{0}2.png "
    "stage1_train/{0}2/masks/cc2.png"
)


def test_a_folder_for_each_image_with_a_mask_for_each_object(tree: Tree) -> None:
    tests = " ".join(f"stage1_test/e{n}/images/e{n}.png" for n in range(9))
    layout = find_layout(tree(f"{NUCLEI.format('d')} {tests}"))
    folder = "stage1_train/d1/masks"
    assert pieces(layout) == {"d1": [f"{folder}/aa0.png", f"{folder}/bb1.png"]}
    assert pairs(layout) == {"d2": "stage1_train/d2/masks/cc2.png"}
    assert not unpaired(layout)
    assert [sample.part for sample in layout.samples] == [None, None]
    assert layout.declared.classes is None
    first, second = layout.notes
    assert first.startswith("2 images lie alone in a folder with 3 masks of other names")
    assert first.endswith("such as aa0.png of d1.png")
    assert second == (
        "9 folders are left out: 9 images without masks, such as stage1_test/e0/images/"
    )


def test_masks_called_alike_in_all_folders_are_no_pieces(tree: Tree) -> None:
    names = [f"p{n}/images/x{n}.png p{n}/masks/crack.png p{n}/masks/rust.png" for n in range(2)]
    with pytest.raises(DataError, match="holds no pairs"):
        find_layout(tree(" ".join(names)))
    layout = find_layout(tree("p2/images/y.png p2/masks/1.png p2/masks/2.png"))
    assert list(pieces(layout)) == ["y"]


def test_what_is_left_of_a_folder_of_many_is_not_taken_for_a_pair(tree: Tree) -> None:
    layout = find_layout(tree("p/images/a.png p/images/b7.png p/masks/a.png p/masks/c8.png"))
    assert pairs(layout) == {"a": "p/masks/a.png"}
    assert [path.name for path in unpaired(layout)] == ["b7.png", "c8.png"]


def test_many_small_folders_are_groups(tree: Tree) -> None:
    files = [f"p{p}/s{p}_{i}.tif p{p}/s{p}_{i}_mask.tif" for p in range(9) for i in range(3)]
    groups = {s.id: s.group for s in find_layout(tree(" ".join(files))).samples}
    assert len(set(groups.values())) == 9
    assert groups["s0_1"] == groups["s0_2"] != groups["s1_1"]


def test_field_of_view_is_no_mask(tree: Tree) -> None:
    layout = find_layout(
        tree("images/21_training.tif 1st_manual/21_manual1.gif mask/21_training_mask.gif")
    )
    assert pairs(layout) == {"21_training": "1st_manual/21_manual1.gif"}
    assert layout.notes == ("mask/ is left out: 1 masks without images",)
