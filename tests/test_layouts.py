"""Every way in which people lay out images and masks is found, and what is not is explained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from delineo.data.layouts import Layout, find_layout
from delineo.data.samples import MaskFile, MaskLayers, MaskPieces, MaskRuns
from delineo.errors import ConfigError, DataError

SHARED = Path(__file__).parents[2] / "shared/data"

Tree = Callable[[str], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """tree("images/a.jpg masks/a.png"): empty files; layouts look at names alone."""

    def make(files: str) -> Path:
        for name in files.split():
            path = tmp_path / name.replace("%", " ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def pairs(layout: Layout) -> dict[str, str]:
    """Id -> mask file, below the root."""
    return {
        sample.id: sample.mask.path.relative_to(layout.root).as_posix()
        for sample in layout.samples
        if isinstance(sample.mask, MaskFile)
    }


def unpaired(layout: Layout) -> list[Path]:
    return [*layout.unpaired_images, *layout.unpaired_masks]


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


def pieces(layout: Layout) -> dict[str, list[str]]:
    """Id -> files of its mask, below the root."""
    return {
        sample.id: [path.relative_to(layout.root).as_posix() for path in sample.mask.paths]
        for sample in layout.samples
        if isinstance(sample.mask, MaskPieces)
    }


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


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("classes.json", '["sky", "car"]', ("sky", "car")),
        ("classes.json", '{"sky": 0, "car": 1}', ("sky", "car")),
        ("classes.json", '{"1": "car", "0": "sky"}', ("sky", "car")),
        ("classes.txt", "sky\ncar\n", ("sky", "car")),
        ("class_names.txt", "__ignore__\nsky\ncar", ("sky", "car")),
        ("labels.txt", "0: sky\n7: car\n255: void", ("sky", "car")),
        ("class_dict.csv", "name,r,g,b\nsky,1,2,3\ncar,4,5,6\nVoid,0,0,0", ("sky", "car")),
        ("label_colors.txt", "\ufeff1 2 3\tsky\r\n4 5 6\tcar\r\n", ("sky", "car")),
    ],
)
def test_class_lists(tree: Tree, name: str, text: str, classes: tuple[str, ...]) -> None:
    root = tree("images/a.png masks/a.png")
    (root / name).write_text(text)
    declared = find_layout(root).declared
    assert declared.classes == classes
    if name == "labels.txt":
        assert declared.values == {0: "sky", 7: "car", 255: "ignore"}
    if name == "class_dict.csv":
        assert declared.colors == {(1, 2, 3): "sky", (4, 5, 6): "car", (0, 0, 0): "ignore"}


def test_void_in_a_class_list_keeps_its_value(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "classes.txt").write_text("sky\nvoid\ncar\n")
    assert find_layout(root).declared.values == {0: "sky", 1: "ignore", 2: "car"}


def test_field_of_view_is_no_mask(tree: Tree) -> None:
    layout = find_layout(
        tree("images/21_training.tif 1st_manual/21_manual1.gif mask/21_training_mask.gif")
    )
    assert pairs(layout) == {"21_training": "1st_manual/21_manual1.gif"}
    assert layout.notes == ("mask/ is left out: 1 masks without images",)


def test_broken_class_list_is_named(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "classes.json").write_text("{")
    with pytest.raises(DataError, match=r"classes.json does not list classes"):
        find_layout(root)


@pytest.mark.parametrize("row", ["road, paved,1,2,3", "road,1,2"])
def test_a_row_of_other_columns_is_named(tree: Tree, row: str) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "class_dict.csv").write_text(f"name,r,g,b\nsky,4,5,6\n{row}\n")
    with pytest.raises(DataError, match=r"class_dict.csv does not list classes \(line 3 has other"):
        find_layout(root)


DATASET = """
images: photos/2024
masks: drawn
task: multiclass
classes: [ground, crack, fray]
values: {0: ground, 50: crack, 100: fray, 200: ignore}
ignore_value: 7
group: ^(\\w+)_
splits: {train: [p_1], val: [q_1], test: []}
"""


def test_dataset_yaml_with_the_slashes_of_windows(tree: Tree) -> None:
    root = tree("photos/2024/p.jpg photos/2023/p.jpg drawn/all/p.png other/p.png")
    (root / "dataset.yaml").write_bytes(b"images: .\\photos\\2024\r\nmasks: drawn\\all\\\r\n")
    assert pairs(find_layout(root)) == {"p": "drawn/all/p.png"}


def test_dataset_yaml_says_everything(tree: Tree) -> None:
    root = tree("photos/2024/p_1.jpg photos/2024/q_1.jpg drawn/p_1.png drawn/q_1.png x/p_1.png")
    (root / "dataset.yaml").write_text(DATASET)
    (root / "classes.txt").write_text("other")
    layout = find_layout(root)
    assert pairs(layout) == {"p_1": "drawn/p_1.png", "q_1": "drawn/q_1.png"}
    assert [sample.group for sample in layout.samples] == ["p", "q"]
    assert layout.declared.classes == ("ground", "crack", "fray")
    assert layout.declared.values[50] == "crack"
    assert layout.declared.splits == {"train": ("p_1",), "val": ("q_1",), "test": ()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clases: [a, b]", "did you mean classes"),
        ("task: multi", "did you mean multilabel"),
        ("classes: [a, crack]\nvalues: {1: crak}", "did you mean 'crack'"),
        ("classes: [a, a]", "twice"),
        ("group: abc", "one pair of parentheses"),
        ("group: '('", "no regular expression"),
        ("colors: {a: [1, 2, 300]}", "0 to 255"),
        ("splits: {training: [a]}", "train"),
        ("values: [0, 1]", "values"),
    ],
)
def test_wrong_dataset_yaml(tree: Tree, text: str, message: str) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "dataset.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"dataset.yaml") as caught:
        find_layout(root)
    assert message in str(caught.value)


def test_group_that_is_found_nowhere(tree: Tree) -> None:
    root = tree("images/a.png masks/a.png")
    (root / "dataset.yaml").write_text("group: ^(x+)_")
    with pytest.raises(DataError, match="found in no id; ids look like 'a'"):
        find_layout(root)


def test_unknown_folder_is_explained(tree: Tree) -> None:
    root = tree("photos/a.jpg photos/b.jpg drawn/a.svg notes.md")
    with pytest.raises(DataError) as caught:
        find_layout(root)
    message = str(caught.value)
    for part in ("Looked for: images/ and masks/", "photos/ 2 .jpg", "drawn/ 1 .svg"):
        assert part in message
    assert "  images: folder/of/images\n  masks: folder/of/masks\n  classes:" in message


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_layout(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        find_layout(tmp_path / "file")


REAL = {
    "ph2": (200, None, None),
    "ph2-original-layout": (1, None, None),
    "carvana": (604, None, "car"),
    "tgs_salt": (4000, None, "salt"),
    "voc2012": (632, ("train", "test"), "background"),
    "camvid": (701, ("train", "val", "test"), "sky"),
    "magnetic_tile_severstal_format": (511, None, "1"),
    "isbi2012_em": (30, None, None),
}


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", list(REAL))
def test_real_downloads(name: str) -> None:
    layout = find_layout(SHARED / name)
    count, parts, first_class = REAL[name]
    assert len(layout.samples) == len({sample.id for sample in layout.samples}) == count
    assert {sample.part for sample in layout.samples} == set(parts or (None,))
    assert first_class is None or (layout.declared.classes or ("",))[0] == first_class
    assert not unpaired(layout)
    if name == "carvana":
        assert len({sample.group for sample in layout.samples}) == 76
