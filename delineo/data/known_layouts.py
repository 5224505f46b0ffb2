"""Downloads that need to be known by name: PASCAL VOC, PH2, and the classes of CamVid."""

import re
from pathlib import Path

from ..errors import DataError
from .declared import Color, Declared
from .images import IMAGE_SUFFIXES
from .pairing import Found
from .samples import MaskFile, Part, Sample

# fmt: off
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep",
    "sofa", "train", "tvmonitor",
)
CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car",
    "pedestrian", "bicyclist", "unlabelled",
)
"""In the order of their values, as SegNet's authors publish it."""
# fmt: on

_CAMVID_ID = re.compile(r"(?:0001TP|0006R0|0016E5|Seq05VD)_f?\d+")


def is_camvid(samples: tuple[Sample, ...]) -> bool:
    """Frames of CamVid's four drives with SegNet's index masks, in folders such as trainannot."""
    return all(
        _CAMVID_ID.fullmatch(sample.id)
        and isinstance(sample.mask, MaskFile)
        and sample.mask.path.parent.name.endswith("annot")
        for sample in samples
    )


def find_voc(root: Path) -> Found | None:
    """JPEGImages, SegmentationClass and the lists of ImageSets/Segmentation.

    The official validation list is the test set, as published figures use it.
    """
    years = sorted(root.glob("VOCdevkit/VOC20*")) + sorted(root.glob("VOC20*"))
    for home in (root, root / "VOCdevkit", *years):
        if (home / "JPEGImages").is_dir() and (home / "SegmentationClass").is_dir():
            return _read_voc(home)
    return None


def _read_voc(home: Path) -> Found:
    official = re.fullmatch(r"VOC20\d\d", home.name) is not None
    masks = _by_stem(home / "SegmentationClass")
    images = _by_stem(home / "JPEGImages")
    parts = _voc_parts(home, masks, official)
    ids = list(parts) or sorted(masks)
    samples = tuple(
        Sample(id, images[id], MaskFile(masks[id]), part=parts.get(id))
        for id in ids
        if id in images and id in masks
    )
    if not samples:
        raise DataError(
            f"{home}: none of the {len(ids)} listed ids has an image in JPEGImages and a mask in "
            "SegmentationClass; is the download complete?"
        )
    known = Declared(task="multiclass", classes=VOC_CLASSES, colors=_voc_colors(), ignore_value=255)
    note = "the official val list is the test set; validation images are held out of train"
    return Found(
        "PASCAL VOC" if official else "PASCAL VOC's folders",
        samples,
        known if official else Declared(ignore_value=255),
        tuple(images.get(id, home / "JPEGImages" / f"{id}.jpg") for id in ids if id not in masks),
        tuple(masks[id] for id in ids if id in masks and id not in images),
        (note,) if official and "test" in parts.values() and "val" not in parts.values() else (),
    )


def _voc_colors() -> dict[Color, str]:
    """The colours of copies whose palette was lost: bit by bit from the class index."""
    colors = {(224, 224, 192): "ignore"}
    for index, name in enumerate(VOC_CLASSES):
        red, green, blue = (
            sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
            for channel in range(3)
        )
        colors[red, green, blue] = name
    return colors


def _voc_parts(home: Path, masks: dict[str, Path], official: bool) -> dict[str, Part]:
    """Id -> part, from the lists; a test list counts only if its masks are there (VOC2007)."""
    lists: dict[str, list[str]] = {}
    for name in ("train", "val", "test"):
        path = home / "ImageSets" / "Segmentation" / f"{name}.txt"
        lists[name] = path.read_text("utf-8-sig").split() if path.is_file() else []
    tests = [id for id in lists["test"] if id in masks]
    held_out: Part = "test" if official and not tests else "val"
    listed: tuple[tuple[Part, list[str]], ...] = (
        ("train", lists["train"]),
        (held_out, lists["val"]),
        ("test", tests),
    )
    return {id: part for part, ids in listed for id in ids}


def _by_stem(folder: Path) -> dict[str, Path]:
    files = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.stem: path for path in files}


def find_ph2(root: Path) -> Found | None:
    """IMD002/IMD002_Dermoscopic_Image/IMD002.bmp with IMD002/IMD002_lesion/IMD002_lesion.bmp."""
    images = sorted(root.glob("**/*_Dermoscopic_Image/*.bmp"))
    masks = {path.stem: path for path in sorted(root.glob("**/*_lesion/*_lesion.bmp"))}
    samples = tuple(
        Sample(image.stem, image, MaskFile(masks[f"{image.stem}_lesion"]))
        for image in images
        if f"{image.stem}_lesion" in masks
    )
    if not samples:
        return None
    used = {sample.id for sample in samples}
    return Found(
        "PH2 download",
        samples,
        Declared(task="binary", classes=("lesion",)),
        tuple(image for image in images if image.stem not in used),
        tuple(path for stem, path in masks.items() if stem.removesuffix("_lesion") not in used),
    )
