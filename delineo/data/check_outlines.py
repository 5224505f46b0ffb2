"""Findings about outlines, once their images have been read."""

from collections.abc import Iterator, Mapping

from .facts import Facts, ImageFacts
from .findings import Finding, counted
from .layouts import Layout


def outline_findings(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """Outlines that cannot be drawn, that are for another size, or that reach out of the image."""
    yield from _broken(facts)
    yield from _sizes(layout, facts)
    outside = [name for known in facts.values() if known.drawn for name in known.drawn.outside]
    if outside:
        yield Finding(
            "outside-image",
            "warning",
            f"{counted(len(outside), 'outline')} that reach out of the image; cut at its border",
            tuple(outside),
            "Look at one with its image: was the image cut or resized after it was annotated?",
        )


def _broken(facts: Mapping[str, Facts]) -> Iterator[Finding]:
    errors = [e for known in facts.values() for e in known.errors if e.kind == "bad-outline"]
    if errors:
        yield Finding(
            "bad-outline",
            "error",
            f"outlines of {counted(len(errors), 'image')} cannot be right",
            tuple(error.message for error in errors),
            "Correct or remove them; was the image cut or resized after it was annotated?",
        )


def _sizes(layout: Layout, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    """Images that the annotation file says to be of another size."""
    wrong, turned = [], False
    for sample in layout.samples:
        known = facts[sample.id]
        if known.drawn is None or known.image is None or known.drawn.size is None:
            continue
        said, image = known.drawn.size, known.image
        if said != (image.height, image.width):
            name = sample.image.relative_to(layout.root).as_posix()
            wrong.append(f"{name} (said {said[1]} x {said[0]}, is {image.width} x {image.height})")
            turned = turned or _before_turning(said, image)
    if wrong:
        yield Finding(
            "annotated-size",
            "error",
            f"{counted(len(wrong), 'image')} of another width x height than the annotations say"
            + ("; EXIF turns some, which were annotated before turning" if turned else ""),
            tuple(wrong),
            "Save these images without the EXIF orientation as they were annotated, or annotate "
            "them upright"
            if turned
            else "Take the images that were annotated, or export the annotations again for these",
        )


def _before_turning(said: tuple[int, int], image: ImageFacts) -> bool:
    return image.orientation in (5, 6, 7, 8) and said == (image.width, image.height)
