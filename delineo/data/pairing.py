"""Images and masks in folders of any names: which mask belongs to which image."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath

from ..errors import DataError
from .declared import Declared
from .findings import Finding
from .samples import MaskFile, MaskLayers, MaskPieces, Sample
from .tree import (
    File,
    Folder,
    describe,
    image_base,
    image_files,
    mask_base,
    mask_rank,
    piece_base,
)

_PHOTO_SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Found:
    """What one way of looking at a folder has found in it."""

    name: str
    """What is there, in words."""
    samples: tuple[Sample, ...]
    declared: Declared = field(default_factory=Declared)
    """What this layout implies; what people say themselves goes before it."""
    unpaired_images: tuple[Path, ...] = ()
    unpaired_masks: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What is wrong with annotation files."""


def find_pairs(root: Path, declared: Declared) -> Found | None:
    """Samples from image files with mask files; None where there is not one pair."""
    images, masks, name = _by_role(root, declared)
    by_hand = [mask for mask in masks if _drawn_by_hand(mask)] or masks
    matches, spare_images, spare_masks = _match(images, by_hand)
    lonely, spare_images, spare_masks = _match_lonely(images, spare_images, spare_masks)
    if not matches and not lonely:
        return None
    spare_masks += sorted(set(masks) - set(by_hand), key=lambda mask: mask.path)
    found = _with_lonely(_paired(root, name, matches, declared), lonely)
    matches += lonely
    samples = _with_groups(list(found.samples), [image.folder for image, _ in matches])
    return _with_spare(replace(found, samples=samples), root, matches, spare_images, spare_masks)


def _by_role(root: Path, declared: Declared) -> tuple[list[File], list[File], str]:
    """Images and masks, and how they lie."""
    folders: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for names, path in image_files(root):
        folders[names].append(path)
    described = {names: _described(names, declared) for names in folders}
    said = declared.images or declared.masks
    if not said and all(folder and folder.role == "mask" for folder in described.values()):
        # a folder above all others is called by its masks: Dataset_with_GT
        described = {names: replace(describe(names), role=None) for names in folders}
    images, masks, mixed = [], [], False
    for names, paths in folders.items():
        folder = described[names]
        if folder is None:
            continue
        inside = set() if folder.role == "mask" else _masks_among(paths, folder)
        mixed = mixed or bool(inside)
        for path in paths:
            is_mask = folder.role == "mask" or path in inside
            (masks if is_mask else images).append(File(path, folder))
    return images, masks, "masks beside images" if mixed else "folders of images and masks"


def _described(names: tuple[str, ...], declared: Declared) -> Folder | None:
    """The folder, with the role that dataset.yaml gives it; None if it names others."""
    if not declared.images and not declared.masks:
        return describe(names)
    for role, said in (("mask", declared.masks), ("image", declared.images)):
        # which takes both kinds of slashes
        above = tuple(part for part in PureWindowsPath(said or "").parts if part != ".")
        if said and names[: len(above)] == above:
            below = describe(names[len(above) :])
            return replace(below, parts=names, role=role, part=describe(names).part)
    folder = describe(names)
    other = "mask" if declared.images and not declared.masks else "image"
    return folder if folder.role == other and not (declared.images and declared.masks) else None


def _masks_among(paths: list[Path], folder: Folder) -> set[Path]:
    """The masks in a folder that holds images as well: told by their stems, or JPEG and PNG."""
    marked = {path for path in paths if mask_base(path.stem) != path.stem}
    plain = {path.stem for path in paths if path not in marked}
    plain |= {image_base(stem) for stem in plain}
    found = {path for path in marked if mask_base(path.stem) in plain}
    if found or folder.role is None:
        bases = {path: mask_base(piece_base(path.stem)) for path in paths if _is_piece(path)}
        found |= {path for path, base in bases.items() if base in plain}
    if not found and folder.role is None:
        photos = {path.stem for path in paths if path.suffix.lower() in _PHOTO_SUFFIXES}
        found = {p for p in paths if p.suffix.lower() not in _PHOTO_SUFFIXES and p.stem in photos}
    return found


def _is_piece(path: Path) -> bool:
    return piece_base(path.stem) != path.stem


def _drawn_by_hand(mask: File) -> bool:
    """DRIVE and its like keep vessels in 1st_manual/ and the field of view in mask/."""
    return any("manual" in name.lower() for name in mask.folder.parts)


Match = tuple[File, list[File]]


def _match(images: list[File], masks: list[File]) -> tuple[list[Match], list[File], list[File]]:
    """Images with their masks, and what is left; same place and same stem before looser ones."""
    matches: list[Match] = []
    for scope in (_same_place, _same_part, _anywhere):
        for name_image, name_mask in (
            (_stem, _stem),
            (_stem, _mask_base),
            (_image_base, _mask_base),
        ):
            found = _match_by(
                images,
                masks,
                lambda file, scope=scope, name=name_image: (scope(file), name(file)),
                lambda file, scope=scope, name=name_mask: (scope(file), name(file)),
            )
            matches += found
            paired = {image.path for image, _ in found}
            taken = {mask.path for _, hits in found for mask in hits}
            images = [image for image in images if image.path not in paired]
            masks = [mask for mask in masks if mask.path not in taken]
    return sorted(matches, key=lambda match: match[0].path), images, masks


Key = Callable[[File], Hashable]


def _match_lonely(
    every: list[File], images: list[File], masks: list[File]
) -> tuple[list[Match], list[File], list[File]]:
    """Images alone in a folder of their own, with all masks there, whatever these are called.

    `every` are all images, `images` and `masks` what is left. A mask's name without a number that
    comes again in other folders is rather that of a class.
    """
    times = Counter(mask.stem for mask in masks)
    there: dict[Hashable, list[File]] = defaultdict(list)
    for mask in masks:
        if times[mask.stem] == 1 or any(map(str.isdigit, mask.stem)):
            there[_same_place(mask)].append(mask)
    inhabitants = Counter(map(_same_place, every))
    matches = [
        (image, there[_same_place(image)])
        for image in images
        if image.folder.place
        and inhabitants[_same_place(image)] == 1
        and _same_place(image) in there
    ]
    taken = {file.path for image, hits in matches for file in (image, *hits)}
    left = [[file for file in files if file.path not in taken] for files in (images, masks)]
    return matches, left[0], left[1]


def _paired(root: Path, name: str, matches: list[Match], declared: Declared) -> Found:
    """Samples whose masks have like names, and what these imply of the classes."""
    classes = _layer_classes(matches, declared)
    if classes:
        layered = tuple(_layered(image, hits, classes) for image, hits in matches)
        return Found("one mask per class", layered, Declared(task="multilabel", classes=classes))
    samples = [_single(image, hits) for image, hits in matches]
    known, notes = Declared(classes=_named_by_stems(samples)), _unused(root, matches)
    return Found(name, tuple(samples), known, notes=tuple(notes))


def _with_lonely(found: Found, lonely: list[Match]) -> Found:
    """With the images that lie alone beside masks of other names."""
    if not lonely:
        return found
    samples = [_joined(image, hits) for image, hits in lonely]
    notes = (*found.notes, _lonely_note(lonely))
    return replace(found, samples=(*found.samples, *samples), notes=notes)


def _with_spare(
    found: Found, root: Path, matches: list[Match], images: list[File], masks: list[File]
) -> Found:
    """With the images and masks that are in no pair: by file where their folder has pairs."""
    used = {image.folder for image, _ in matches}
    used_masks = {mask.folder for _, hits in matches for mask in hits}
    left_out = (
        *_folders_left_out(root, images, used, "images without masks"),
        *_folders_left_out(root, masks, used_masks, "masks without images"),
    )
    return replace(
        found,
        unpaired_images=tuple(image.path for image in images if image.folder in used),
        unpaired_masks=tuple(mask.path for mask in masks if mask.folder in used_masks),
        notes=(*found.notes, *left_out),
    )


def _lonely_note(lonely: list[Match]) -> str:
    image, hits = lonely[0]
    masks = sum(len(hits) for _, hits in lonely)
    return (
        f"{len(lonely)} images lie alone in a folder with {masks} masks of other names: those in "
        f"one folder are the image's, such as {hits[0].path.name} of {image.path.name}"
    )


def _match_by(images: list[File], masks: list[File], of_image: Key, of_mask: Key) -> list[Match]:
    """Images whose key no other image has, with all masks that have it too."""
    by_key: dict[Hashable, list[File]] = defaultdict(list)
    for mask in masks:
        by_key[of_mask(mask)].append(mask)
    claims = Counter(of_image(image) for image in images)
    return [
        (image, by_key[of_image(image)])
        for image in images
        if of_image(image) in by_key and claims[of_image(image)] == 1
    ]


def _same_place(file: File) -> Hashable:
    return file.folder.part, file.folder.place


def _same_part(file: File) -> Hashable:
    return file.folder.part


def _anywhere(_: File) -> Hashable:
    return None


def _stem(file: File) -> str:
    return file.stem


def _mask_base(file: File) -> str:
    return mask_base(piece_base(file.stem))


def _image_base(file: File) -> str:
    return image_base(file.stem)


def _label(image: File, mask: File) -> str:
    """What sets a mask's folder apart from its image's: the class, if there is one per folder."""
    extra = [name for name in mask.folder.place if name not in image.folder.place]
    return "_".join([*extra, mask.folder.variant] if mask.folder.variant else extra)


def _layer_classes(matches: list[Match], declared: Declared) -> tuple[str, ...] | None:
    """The classes, if masks lie in one folder for each; None if a mask holds all classes."""
    if declared.task in ("binary", "multiclass"):
        return None
    labels = [[_label(image, mask) for mask in hits] for image, hits in matches]
    every = sorted({label for row in labels for label in row})
    distinct = all(len(set(row)) == len(row) for row in labels)
    several = any(len(row) > 1 for row in labels) or len({i.folder for i, _ in matches}) == 1
    if "" in every or not 2 <= len(every) <= 100 or not distinct or not several:
        return None
    said = {name.lower().replace(" ", "_"): name for name in declared.classes or ()}
    if not said:
        return tuple(every)
    if set(every) <= set(said):
        return declared.classes
    if declared.task is None:
        return None
    raise DataError(
        f"masks lie in the folders {', '.join(every)}, {declared.source} names the classes "
        f"{', '.join(declared.classes or ())}; give both the same names"
    )


def _layered(image: File, hits: list[File], classes: tuple[str, ...]) -> Sample:
    keys = [name.lower().replace(" ", "_") for name in classes]
    by_label = {_label(image, mask): mask.path for mask in hits}
    paths = tuple(by_label.get(key) for key in keys)
    return Sample(image.stem, image.path, MaskLayers(paths), part=image.folder.part)


def _single(image: File, hits: list[File]) -> Sample:
    return _joined(image, _best(hits))


def _joined(image: File, pieces: list[File]) -> Sample:
    paths = sorted(piece.path for piece in pieces)
    mask = MaskPieces(tuple(paths)) if len(paths) > 1 else MaskFile(paths[0])
    return Sample(image.stem, image.path, mask, part=image.folder.part)


def _best(hits: list[File]) -> list[File]:
    """The mask in the plainest folder, of the kind that says most; with it those that only a
    number sets apart from it.
    """
    best = min(hits, key=lambda m: (bool(m.folder.variant), mask_rank(piece_base(m.stem)), m.path))
    kind = best.folder, piece_base(best.stem)
    return [mask for mask in hits if (mask.folder, piece_base(mask.stem)) == kind]


def _unused(root: Path, matches: list[Match]) -> list[str]:
    """A note if images have mask files of more than one kind."""
    several = [(image, hits) for image, hits in matches if len(hits) > len(_best(hits))]
    if not several:
        return []
    image, hits = several[0]
    others = [str(mask.path.relative_to(root)) for mask in hits if mask not in _best(hits)]
    note = (
        f"{len(several)} images have more than one mask file; of {image.path.name}, "
        f"{_best(hits)[0].path.relative_to(root)} is used and not {', '.join(others)}"
    )
    return [note]


def _folders_left_out(root: Path, spare: list[File], used: set[Folder], what: str) -> list[str]:
    """A note for each folder without a single pair, or one where there are many."""
    counts = Counter(file.path.parent for file in spare if file.folder not in used)
    if len(counts) >= MANY_FOLDERS:
        first = min(counts).relative_to(root)
        return [f"{len(counts)} folders are left out: {counts.total()} {what}, such as {first}/"]
    return [
        f"{folder.relative_to(root)}/ is left out: {number} {what}"
        for folder, number in sorted(counts.items())
    ]


def _named_by_stems(samples: list[Sample]) -> tuple[str, ...] | None:
    """ID_lesion.png everywhere: the class is called lesion."""
    masks = [sample.mask.path.stem for sample in samples if isinstance(sample.mask, MaskFile)]
    told = masks and all(stem.lower().endswith("_lesion") for stem in masks)
    return ("lesion",) if told else None


MANY_FOLDERS = 8


def _with_groups(samples: list[Sample], folders: list[Folder]) -> tuple[Sample, ...]:
    """Samples in many small folders, one per patient or video, are grouped by folder."""
    sizes = Counter(folder.place for folder in folders if folder.place)
    many = len(sizes) >= MANY_FOLDERS and max(sizes.values()) > 1
    if not many or max(sizes.values()) > len(samples) / 4:
        return tuple(samples)
    return tuple(
        replace(sample, group="/".join(folder.place) or None)
        for sample, folder in zip(samples, folders, strict=True)
    )
