"""Tables of run-length codes, as competitions give masks: Severstal's, TGS Salt's and alike."""

import csv
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import DataError
from .declared import Declared
from .pairing import Found
from .samples import MaskRuns, Sample
from .tree import describe, image_files, walk

_IMAGE_COLUMNS = ("imageid", "image_id", "img", "id", "image", "imageid_classid", "filename")
_CODE_COLUMNS = ("encodedpixels", "rle_mask", "rle", "encoded_pixels", "segmentation")
_CLASS_COLUMNS = ("classid", "class_id", "class", "label")


class Row(NamedTuple):
    """One code. `label` is the class id as written, "" where the table has no classes."""

    image: str
    label: str
    code: str


def find_run_lengths(root: Path, declared: Declared) -> Found | None:
    """Samples from images and a table of codes; None where there is no such table."""
    table = _find_table(root)
    if table is None:
        return None
    rows = read_table(table)
    named = _index_images(root, {row.image for row in rows})
    by_image: dict[Path, list[Row]] = defaultdict(list)
    missing = sorted({row.image for row in rows if row.image not in named})
    for row in rows:
        if row.image in named:
            by_image[named[row.image]].append(row)
    if not by_image:
        return None
    labels = sorted({row.label for row in rows}, key=lambda text: (len(text), text))
    known, classes = _classes(labels, declared, table)
    samples, without = _samples(root, by_image, classes)
    notes = [_missing_note(table, missing)] if missing else []
    if without:
        notes.append(
            f"{without} images have no row in {table.name} and are taken to show no object"
        )
    return Found(f"run-length codes in {table.name}", samples, known, notes=tuple(notes))


def read_table(path: Path) -> list[Row]:
    """The rows of a table. Raises DataError with the line, or where it is no text in UTF-8."""
    try:
        return _read_rows(path)
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; save it again as a CSV in UTF-8") from None


def _read_rows(path: Path) -> list[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(newline="", encoding="utf-8-sig") as file:
        separator = _separator(file.readline())
        file.seek(0)
        reader = csv.reader(file, delimiter=separator)
        header = [column.strip().lower() for column in next(reader)]
        image, code = _column(header, _IMAGE_COLUMNS), _column(header, _CODE_COLUMNS)
        label = _column(header, _CLASS_COLUMNS)
        joined = image is not None and header[image] == "imageid_classid"
        rows = []
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(fields)} columns, "
                    f"the header has {len(header)}"
                )
            name, own = fields[image or 0].strip(), "" if label is None else fields[label].strip()
            if joined:
                name, own = _parted(name, f"{path}, line {reader.line_num}")
            rows.append(Row(name, own, fields[code or 0].strip()))
    return rows


def _separator(header: str) -> str:
    """A comma, or what spreadsheets write where the comma is part of numbers."""
    return max(",;\t", key=header.count)


def _parted(joined: str, place: str) -> tuple[str, str]:
    """Image and class of an ImageId_ClassId."""
    name, mark, label = joined.rpartition("_")
    if not mark:
        raise DataError(
            f"{place}: ImageId_ClassId must be an image and a class, such as 0002cc93b.jpg_1, "
            f"got {joined!r}"
        )
    return name, label


def _column(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _find_table(root: Path) -> Path | None:
    """The table nearest to the root; one that is named for training goes first."""
    tables = [
        (names, path)
        for names, path in walk(root)
        if path.suffix.lower() == ".csv" and len(names) <= 2 and "submission" not in path.stem
    ]
    tables.sort(key=lambda entry: ("train" not in entry[1].stem, len(entry[0]), entry[1]))
    return next((path for _, path in tables if _is_table(path)), None)


def _is_table(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        line = file.readline()
    header = [column.strip().strip('"').lower() for column in line.split(_separator(line))]
    return (
        _column(header, _IMAGE_COLUMNS) is not None and _column(header, _CODE_COLUMNS) is not None
    )


def _index_images(root: Path, wanted: set[str]) -> dict[str, Path]:
    """File name or stem, as the table writes it -> image. Folders of masks are not looked at."""
    found: dict[str, Path] = {}
    for names, path in image_files(root):
        if describe(names).role != "mask":
            for name in (path.name, path.stem):
                if name in wanted:
                    found.setdefault(name, path)
    return found


def _classes(
    labels: list[str], declared: Declared, table: Path
) -> tuple[Declared, Mapping[str, int]]:
    """What the table implies, and the index of each class id."""
    labels = [label for label in labels if label]
    if not labels:
        known = Declared(task="binary", classes=("salt",) if _is_tgs(table) else None)
        return known, {"": 0}
    names = declared.classes
    if names is None:
        return Declared(task="multilabel", classes=tuple(labels)), {
            label: index for index, label in enumerate(labels)
        }
    if set(labels) <= set(names):
        return Declared(task="multilabel"), {label: names.index(label) for label in labels}
    numbers = {label: int(label) - 1 for label in labels if label.isdecimal()}
    if len(numbers) < len(labels) or not all(0 <= n < len(names) for n in numbers.values()):
        raise DataError(
            f"{table} has the class ids {', '.join(labels)}, "
            f"{declared.source} names the {len(names)} classes {', '.join(names)}; "
            "give one name for each id from 1 on, in order"
        )
    return Declared(task="multilabel"), numbers


def _is_tgs(table: Path) -> bool:
    return (table.parent / "depths.csv").is_file()


def _samples(
    root: Path, by_image: Mapping[Path, list[Row]], classes: Mapping[str, int]
) -> tuple[tuple[Sample, ...], int]:
    """All images of the folders that the table knows, and how many of them have no row."""
    folders = {path.parent for path in by_image}
    images = [(names, path) for names, path in image_files(root) if path.parent in folders]
    samples = tuple(
        Sample(path.stem, path, _runs(by_image.get(path, []), classes), part=describe(names).part)
        for names, path in images
    )
    return samples, sum(path not in by_image for _, path in images)


def _runs(rows: list[Row], classes: Mapping[str, int]) -> MaskRuns:
    return MaskRuns(tuple((classes[row.label], row.code) for row in rows if row.code))


def _missing_note(table: Path, missing: list[str]) -> str:
    some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"{table.name} has codes for {len(missing)} images that are not there: {some}"
