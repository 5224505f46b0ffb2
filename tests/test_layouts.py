"""Real downloads are found, and what is laid out in no known way is explained."""

from pathlib import Path

import pytest
from laid_out import Tree, unpaired

from delineo.data.layouts import find_layout
from delineo.errors import DataError

SHARED = Path(__file__).parents[2] / "shared/data"


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
