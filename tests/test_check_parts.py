"""What the check finds in parts: copies, groups and classes across them, and parts too small."""

import json
from pathlib import Path

import numpy as np
import pytest
from checked import (
    codes,
    found,
    image_file,
    in_two_classes,
    mask_file,
    read,
    rewrite,
    rewrite_masks,
    write_splits,
)

from delineo.data.check import check_folder, open_folder


def test_classes_that_a_part_lacks_are_warned_of(shapes):
    rewrite_masks(shapes, in_two_classes)
    for index in range(40, 48):
        rewrite(mask_file(shapes, index), lambda mask: np.minimum(mask, 1))
    write_splits(shapes, train=range(30), val=range(30, 40), test=range(40, 48))
    finding = found(check_folder(shapes), "class-missing-in-split")
    assert "test has no image with class 2" in finding.message


def test_copies_across_given_parts_are_warned_of(shapes):
    write_splits(shapes, train=range(30), val=range(30, 39), test=range(39, 48))
    image_file(shapes, 45).write_bytes(image_file(shapes, 3).read_bytes())
    rewrite(image_file(shapes, 46), lambda _: read(image_file(shapes, 4)))
    rewrite(image_file(shapes, 46), lambda image: image // 8 * 7)
    checkup = check_folder(shapes)
    assert checkup.ok
    exact = found(checkup, "exact-duplicates-across-splits")
    assert exact.files == ("disc03 (train) = disc45 (test)",)
    assert "train and test 1" in exact.message
    near = found(checkup, "near-duplicates-across-splits")
    assert near.files == ("disc04 (train) = disc46 (test)",)
    different = found(checkup, "copies-with-different-masks")
    assert different.files == ("disc03 = disc45",)


def test_copies_stay_in_one_part_where_parts_are_made(shapes):
    for index in range(10):
        image_file(shapes, 47 - index).write_bytes(image_file(shapes, index).read_bytes())
        mask_file(shapes, 47 - index).write_bytes(mask_file(shapes, index).read_bytes())
    checkup = check_folder(shapes)
    assert codes(checkup, "error", "warning") == {"exact-duplicate"}
    assert len(found(checkup, "exact-duplicate").files) == 10


def rename_by_car(root: Path, views: int = 6) -> None:
    """disc07 -> car1_01: so many views each."""
    for path in [*(root / "images").iterdir(), *(root / "masks").iterdir()]:
        index = int(path.stem[4:])
        path.rename(path.with_name(f"car{index // views}_{index % views:02}.png"))


@pytest.mark.parametrize(("views", "cars"), [(6, 8), (8, 6)])
def test_guessed_groups_stay_in_one_part_and_are_told(shapes, views, cars):
    rename_by_car(shapes, views)
    checkup = check_folder(shapes)
    assert codes(checkup, "error", "warning") == set()
    (said,) = [line for line in checkup.assumptions if f"{cars} groups, such as 'car0'" in line]
    assert "if each image stands alone, write `group: (.+)` in dataset.yaml" in said
    assert checkup.folder is not None
    parts = [{one[:4] for one in ids} for ids in checkup.folder.splits.values()]
    assert sum(map(len, parts)) == cars


def test_groups_too_few_for_three_parts_are_warned_of_until_denied(shapes):
    rename_by_car(shapes, 12)
    checkup = check_folder(shapes)
    assert checkup.ok
    finding = found(checkup, "group-across-splits")
    assert finding.message.startswith("4 groups of 4 (images of one thing, as the ids look) in two")
    assert finding.files[0].startswith("car0 (train, ")
    assert "too few, or too unequal, to fill train, val and test" in finding.fix
    assert "write `group: (.+)` in dataset.yaml" in finding.fix
    assert checkup.folder is not None
    alike = checkup.folder.splits
    (shapes / "dataset.yaml").write_text("group: (.+)\n")
    denied = check_folder(shapes)
    assert codes(denied, "error", "warning") == set()
    assert denied.folder is not None
    assert denied.folder.splits == alike


def test_groups_across_given_parts_are_warned_of(shapes):
    rename_by_car(shapes)
    ids = sorted(path.stem for path in (shapes / "images").iterdir())
    splits = {"train": ids[:27], "val": ids[27:36], "test": ids[36:]}
    (shapes / "splits.json").write_text(json.dumps(splits))
    finding = found(check_folder(shapes), "group-across-splits")
    assert (finding.severity, finding.files) == ("warning", ("car4 (train, val)",))


def test_declared_groups_win(shapes):
    (shapes / "dataset.yaml").write_text('group: "disc(\\\\d)"\n')
    folder = open_folder(shapes)
    tens = [{one[4] for one in ids} for ids in folder.splits.values()]
    assert sum(map(len, tens)) == 5


def test_wrong_splits_are_errors(shapes):
    write_splits(shapes, train=range(30), val=range(29, 60))
    checkup = check_folder(shapes)
    assert found(checkup, "id-in-two-parts").files == ("disc29",)
    assert len(found(checkup, "split-unknown-id").files) == 12
    assert checkup.folder is None
    (shapes / "splits.json").write_text("[")
    assert not check_folder(shapes).ok
    assert "is not JSON" in found(check_folder(shapes), "splits-unreadable").message


def test_images_in_no_part_are_warned_of(shapes):
    write_splits(shapes, train=range(20), val=range(20, 40))
    checkup = check_folder(shapes)
    assert len(found(checkup, "in-no-part").files) == 8
    assert any("no test part" in sentence for sentence in checkup.assumptions)


def test_few_images_are_parted_as_well_as_can_be(tmp_path, make_shapes):
    one = check_folder(make_shapes(tmp_path / "one", count=1))
    assert one.ok
    finding = found(one, "no-val")
    assert finding.severity == "warning"
    assert "`delineo train` will refuse this folder, which can only be scored" in finding.message
    five = check_folder(make_shapes(tmp_path / "five", count=5))
    assert codes(five, "warning") == set()
    assert "1 image in val" in found(five, "small-part").message
