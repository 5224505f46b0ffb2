"""What a layout found, in few words."""

from collections.abc import Callable
from pathlib import Path

from delineo.data.layouts import Layout
from delineo.data.samples import MaskFile, MaskPieces

Tree = Callable[[str], Path]


def pairs(layout: Layout) -> dict[str, str]:
    """Id -> mask file, below the root."""
    return {
        sample.id: sample.mask.path.relative_to(layout.root).as_posix()
        for sample in layout.samples
        if isinstance(sample.mask, MaskFile)
    }


def unpaired(layout: Layout) -> list[Path]:
    return [*layout.unpaired_images, *layout.unpaired_masks]


def pieces(layout: Layout) -> dict[str, list[str]]:
    """Id -> files of its mask, below the root."""
    return {
        sample.id: [path.relative_to(layout.root).as_posix() for path in sample.mask.paths]
        for sample in layout.samples
        if isinstance(sample.mask, MaskPieces)
    }
