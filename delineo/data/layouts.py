"""What people have on disk -> a list of samples. No pixel is read here."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DataError, NoFolderError
from .coco import find_coco
from .declared import Declared, merged, read_declared
from .findings import Finding
from .known_layouts import CAMVID_CLASSES, find_ph2, find_voc, is_camvid
from .labelme import find_labelme
from .pairing import Found, find_pairs
from .run_length_tables import find_run_lengths
from .samples import Sample
from .tree import walk
from .yolo import find_yolo

CARVANA_ID = re.compile(r"([0-9a-f]{12})_\d\d")
TGS_ID = re.compile(r"[0-9a-f]{10}")


@dataclass(frozen=True)
class Layout:
    """A data folder before any pixel has been read."""

    root: Path
    name: str
    """What is there, in words."""
    samples: tuple[Sample, ...]
    declared: Declared
    """What dataset.yaml and class lists say, completed by what the layout implies."""
    unpaired_images: tuple[Path, ...] = ()
    """Images without a mask in folders where others have one."""
    unpaired_masks: tuple[Path, ...] = ()
    """Masks without an image in folders where others have one."""
    notes: tuple[str, ...] = ()
    """One sentence for each thing that was assumed or left out."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with annotation files."""


def find_layout(path: Path) -> Layout:
    """The samples in a folder, and what is said of them.

    Raises NoFolderError where there is no folder, DataError where there is nothing that is
    understood, ConfigError where dataset.yaml is wrong.
    """
    root = Path(path)
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise NoFolderError(f"{root} {kind}; give the folder that holds images and masks")
    declared = read_declared(root)
    found = _find(root, declared)
    if found is None:
        raise DataError(_nothing_found(root, declared))
    found = _as_known_download(found, root, declared)
    declared = merged(declared, _implied(found, declared))
    samples = _with_parts(_with_groups(_with_unique_ids(found.samples, root), declared))
    notes = found.notes + _notes(samples, declared)
    return Layout(
        root,
        found.name,
        samples,
        declared,
        found.unpaired_images,
        found.unpaired_masks,
        notes,
        found.findings,
    )


def _implied(found: Found, declared: Declared) -> Declared:
    """What the layout says; where people name classes, nothing of the layout's own classes."""
    if not declared.classes:
        return found.declared
    task = found.declared.task if found.declared.task == "multilabel" else None
    return replace(found.declared, task=task, classes=None, values={}, colors={})


def _find(root: Path, declared: Declared) -> Found | None:
    if declared.images or declared.masks:
        return find_pairs(root, declared)
    return (
        find_voc(root)
        or find_ph2(root)
        or find_pairs(root, declared)
        or find_run_lengths(root, declared)
        or find_coco(root, declared)
        or find_yolo(root, declared)
        or find_labelme(root, declared)
    )


def _as_known_download(found: Found, root: Path, declared: Declared) -> Found:
    """Carvana, TGS Salt and CamVid lie in plain folders; their ids tell them."""
    if all(CARVANA_ID.fullmatch(sample.id) for sample in found.samples):
        known = Declared(task="binary", classes=("car",), group=CARVANA_ID.pattern)
        note = "ids end in the number of a view; the views of one car are kept together"
        name, notes = f"Carvana, {found.name}", (*found.notes, note)
        return replace(found, name=name, declared=known, notes=notes)
    if (root / "depths.csv").is_file() and all(TGS_ID.fullmatch(s.id) for s in found.samples):
        known = Declared(task="binary", classes=("salt",))
        return replace(found, name=f"TGS Salt, {found.name}", declared=known)
    if not declared.classes and is_camvid(found.samples):
        names = {v: name.replace("unlabelled", "ignore") for v, name in enumerate(CAMVID_CLASSES)}
        known = Declared(task="multiclass", classes=CAMVID_CLASSES[:-1], values=names)
        note = "mask values are SegNet's: 0 to 10 are the classes, and 11, unlabelled, is ignored"
        notes = (*found.notes, note)
        return replace(found, name=f"CamVid, {found.name}", declared=known, notes=notes)
    return found


def _with_unique_ids(samples: tuple[Sample, ...], root: Path) -> tuple[Sample, ...]:
    """Ids that occur twice become the path below the root, with the suffix where they must."""
    times = Counter(sample.id for sample in samples)
    longer = Counter(_path_id(sample, root) for sample in samples)
    unique = []
    for sample in samples:
        if times[sample.id] > 1:
            path_id = _path_id(sample, root)
            suffix = sample.image.suffix if longer[path_id] > 1 else ""
            sample = replace(sample, id=path_id + suffix)
        unique.append(sample)
    return tuple(unique)


def _path_id(sample: Sample, root: Path) -> str:
    return sample.image.relative_to(root).with_suffix("").as_posix()


def _with_groups(samples: tuple[Sample, ...], declared: Declared) -> tuple[Sample, ...]:
    if declared.group is None:
        return samples
    pattern = re.compile(declared.group)
    matches = [pattern.search(sample.id) for sample in samples]
    if not any(matches):
        raise DataError(
            f"{declared.source}: group {declared.group!r} is found in no id; "
            f"ids look like {samples[0].id!r}"
        )
    return tuple(
        replace(sample, group=match[1] if match else None)
        for sample, match in zip(samples, matches, strict=True)
    )


def _with_parts(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    """A download whose labelled images all lie in train/ has no parts: there is one."""
    if len({sample.part for sample in samples}) > 1:
        return samples
    return tuple(replace(sample, part=None) for sample in samples)


def _notes(samples: tuple[Sample, ...], declared: Declared) -> tuple[str, ...]:
    without = [sample.id for sample in samples if declared.group and sample.group is None]
    if not without:
        return ()
    return (f"group is not found in {len(without)} ids, such as {without[0]!r}: each is alone",)


def _nothing_found(root: Path, declared: Declared) -> str:
    """What was looked for, what is there, and the remedy."""
    if declared.images or declared.masks:
        return (
            f"{root}: no image in {declared.images or 'a folder of images'} has a mask of the same "
            f"stem in {declared.masks or 'a folder of masks'}, as {declared.source} says; "
            f"there is {_what_is_there(root)}"
        )
    return f"""{root} holds no pairs of images and masks.
Looked for: {_LOOKED_FOR}.
There is: {_what_is_there(root)}.
Rename the folders, or write dataset.yaml into the folder:
  images: folder/of/images
  masks: folder/of/masks
  classes: [background, thing]"""


_LOOKED_FOR = (
    "images/ and masks/ with equal stems (a mask may end in _mask, _label, _gt ...), "
    "train/ val/ test/ above or below them, masks beside images, masks/CLASS/, PASCAL VOC, PH2, "
    "a CSV of run-length codes, COCO's JSON, YOLO polygons in labels/, LabelMe's JSON beside images"
)


def _what_is_there(root: Path) -> str:
    """Folders with the number and kind of files in them, at most eight."""
    kinds: Counter[tuple[str, str]] = Counter()
    for names, path in walk(root):
        kinds["/".join([*names, ""]), path.suffix.lower() or "no suffix"] += 1
    lines = [f"{folder or './'} {number} {kind}" for (folder, kind), number in kinds.items()]
    more = f", {len(lines) - 8} more" if len(lines) > 8 else ""
    return (", ".join(lines[:8]) or "nothing") + more
