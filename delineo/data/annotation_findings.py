"""What is wrong with annotation files, collected while they are read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from .findings import Finding, counted


@dataclass
class Trouble:
    """What is met while annotation files are read, collected to be told at once.

    Texts name the file below the root and the entry: "a.json: annotation 17".
    """

    root: Path
    broken_files: list[str] = field(default_factory=list)
    broken_outlines: list[str] = field(default_factory=list)
    few_points: list[str] = field(default_factory=list)
    unknown_classes: list[str] = field(default_factory=list)
    without_image: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unlisted: list[Path] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    other_shapes: list[str] = field(default_factory=list)

    def place(self, path: Path, entry: str) -> str:
        """The text that names an entry of a file."""
        return f"{_below(self.root, path)}: {entry}"

    def findings(self) -> Iterator[Finding]:
        """One finding for each kind of trouble there is."""
        yield from self._errors()
        yield from self._unmatched_images()
        yield from self._objects_left_out()

    def _errors(self) -> Iterator[Finding]:
        if self.broken_files:
            yield Finding(
                "bad-annotations",
                "error",
                f"{counted(len(self.broken_files), 'annotation file')} cannot be read",
                tuple(self.broken_files),
                "Correct or export them again, or remove them together with their images",
            )
        if self.broken_outlines:
            yield Finding(
                "bad-outline",
                "error",
                f"{counted(len(self.broken_outlines), 'outline')} cannot be right",
                tuple(self.broken_outlines),
                "Correct or remove them",
            )
        if self.unknown_classes:
            yield Finding(
                "unknown-category",
                "error",
                f"{counted(len(self.unknown_classes), 'outline')} of a class that the file does "
                "not name",
                tuple(self.unknown_classes),
                "Add the class to the file's list of categories or names, or correct the number",
            )
        if self.repeated:
            yield Finding(
                "repeated-image",
                "error",
                f"{counted(len(self.repeated), 'image')} listed twice, so that its outlines are "
                "in doubt",
                tuple(self.repeated),
                "Leave each image, and each image id, in one place of one file",
            )

    def _unmatched_images(self) -> Iterator[Finding]:
        if self.missing:
            yield Finding(
                "missing-image",
                "warning",
                f"{counted(len(self.missing), 'image')} that the annotations list but the folder "
                "does not hold; left out",
                tuple(self.missing),
                "Add the images; are they in another folder, or has the download not finished?",
            )
        if self.unlisted:
            yield Finding(
                "unlisted-image",
                "warning",
                f"{counted(len(self.unlisted), 'image')} that no annotation file lists, beside "
                "others that are listed; left out",
                tuple(path.relative_to(self.root).as_posix() for path in self.unlisted),
                "Annotate them (an image without objects is listed with none), or move them away",
            )
        if self.without_image:
            yield Finding(
                "annotation-without-image",
                "warning",
                f"{counted(len(self.without_image), 'annotation')} of image ids that the file does "
                "not list; left out",
                tuple(self.without_image),
                "Add the images to the file's list, or remove the annotations",
            )

    def _objects_left_out(self) -> Iterator[Finding]:
        if self.few_points:
            yield Finding(
                "few-points",
                "warning",
                f"{counted(len(self.few_points), 'polygon')} of fewer than 3 points, which enclose "
                "nothing; left out",
                tuple(self.few_points),
                "Draw or remove these objects",
            )
        if self.boxes:
            yield Finding(
                "box-without-outline",
                "warning",
                f"{counted(len(self.boxes), 'object')} with a box and no outline; what the boxes "
                "hold is ignored, neither trained on nor scored",
                tuple(self.boxes),
                "Draw the outlines of these objects",
            )
        if self.other_shapes:
            yield Finding(
                "other-shape",
                "warning",
                f"{counted(len(self.other_shapes), 'shape')} that enclose nothing; left out",
                tuple(self.other_shapes),
                "Draw polygons, rectangles or circles around objects",
            )


@lru_cache
def _below(root: Path, path: Path) -> str:
    # asked for every annotation of a file, of which there may be a million
    return path.relative_to(root).as_posix()
