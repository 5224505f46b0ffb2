"""Findings about parts: leaks between them, classes that one lacks, parts too small to judge on."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from .contents import Contents
from .facts import Facts
from .findings import Finding, counted
from .samples import PARTS, Part
from .splits import Splits

FEW_IMAGES = 20
"""A validation or test part with fewer says little."""

EACH_ALONE = "group: (.+)"
"""What dataset.yaml says where ids that look like groups are none."""

_SCORES_FLATTER = "scores on them flatter the model"


def copy_findings(
    exact: Sequence[tuple[str, ...]],
    near: Sequence[tuple[str, str]],
    splits: Splits,
    facts: Mapping[str, Facts],
    remedy: str,
) -> Iterator[Finding]:
    """Exact and near-duplicates, across parts and within one."""
    part_of = parts_by_id(splits)
    yield from _differing_masks(exact, facts)
    for code, noun, plural, sets in (
        ("exact-duplicate", "set of equal images", "sets of equal images", exact),
        ("near-duplicate", "pair of near-copies", "pairs of near-copies", near),
    ):
        across = [ids for ids in sets if len(_parts(ids, part_of)) > 1]
        within = [ids for ids in sets if len(_parts(ids, part_of)) == 1]
        if across:
            yield Finding(
                f"{code}s-across-splits",
                "warning",
                f"{counted(len(across), noun, plural)} in two parts ({_between(across, part_of)}); "
                f"{_SCORES_FLATTER}",
                tuple(" = ".join(f"{one} ({part_of.get(one)})" for one in ids) for ids in across),
                remedy,
            )
        if within:
            severity = "warning" if code == "exact-duplicate" else "note"
            yield Finding(
                code,
                severity,
                f"{counted(len(within), noun, plural)} within one part",
                tuple(" = ".join(ids) for ids in within),
                "Keep one of each set" if code == "exact-duplicate" else "",
            )


def _differing_masks(
    exact: Sequence[tuple[str, ...]], facts: Mapping[str, Facts]
) -> Iterator[Finding]:
    def masks(sample_id: str) -> tuple[tuple[int | None, str], ...]:
        drawn = facts[sample_id].drawn
        own = tuple((mask.layer, mask.digest) for mask in facts[sample_id].masks)
        return (*own, (None, drawn.digest)) if drawn else own

    differing = [ids for ids in exact if len({masks(sample_id) for sample_id in ids}) > 1]
    if differing:
        yield Finding(
            "copies-with-different-masks",
            "warning",
            f"{counted(len(differing), 'set')} of equal images whose masks differ, so one of them "
            "is wrong",
            tuple(" = ".join(ids) for ids in differing),
            "Keep the image with the right mask",
        )


def group_findings(
    groups: Mapping[str, str], guessed: bool, splits: Splits, remedy: str
) -> Iterator[Finding]:
    """Groups that stand in two parts. `guessed`: only the ids show them."""
    parts: dict[str, set[Part]] = defaultdict(set)
    for sample_id, part in parts_by_id(splits).items():
        if sample_id in groups:
            parts[groups[sample_id]].add(part)
    shared = sorted(group for group, found in parts.items() if len(found) > 1)
    if shared:
        how = ", as the ids look" if guessed else ""
        alone = f"; if each image stands alone, write `{EACH_ALONE}` in dataset.yaml"
        yield Finding(
            "group-across-splits",
            "warning",
            f"{counted(len(shared), 'group')} of {len(parts):,} (images of one thing{how}) "
            f"in two parts; {_SCORES_FLATTER}",
            tuple(
                f"{group} ({', '.join(p for p in PARTS if p in parts[group])})" for group in shared
            ),
            remedy + alone if guessed else remedy,
        )


def class_findings(
    contents: Mapping[str, Contents], classes: Sequence[str], splits: Splits
) -> Iterator[Finding]:
    """Classes that stand in some part but not in another."""
    seen = {part: _classes_in(contents, ids) for part, ids in splits.items() if ids}
    everywhere = set().union(*seen.values())
    for part, found in seen.items():
        absent = [classes[index] for index in sorted(everywhere - found)]
        if absent:
            consequence = "cannot be learnt" if part == "train" else f"will have no score on {part}"
            yield Finding(
                "class-missing-in-split",
                "warning",
                f"{part} has no image with {', '.join(absent)}, which {consequence}",
                fix="Name other images for it in splits.json, or add images of these classes",
            )


def _classes_in(contents: Mapping[str, Contents], ids: Sequence[str]) -> set[int]:
    return {index for one in ids if one in contents for index in contents[one].classes}


def size_findings(splits: Splits) -> Iterator[Finding]:
    """Parts that are empty or small."""
    needed: tuple[Part, ...] = ("train", "val")
    for part in needed:
        if not splits[part]:
            doing = "training" if part == "train" else "validation"
            yield Finding(
                f"no-{part}",
                "warning",
                f"no image is left for {doing}: `delineo train` will refuse this folder, which can "
                "only be scored",
                fix=f"To train, add images, or name some for {part} in splits.json",
            )
    sizes = {part: len(ids) for part, ids in splits.items() if part != "train"}
    small = {part: size for part, size in sizes.items() if 0 < size < FEW_IMAGES}
    if small:
        listed = " and ".join(f"{counted(size, 'image')} in {part}" for part, size in small.items())
        yield Finding("small-part", "note", f"{listed}: scores have wide intervals")


def parts_by_id(splits: Splits) -> dict[str, Part]:
    return {sample_id: part for part, ids in splits.items() for sample_id in ids}


def _parts(ids: Collection[str], part_of: Mapping[str, Part]) -> set[Part]:
    return {part_of[one] for one in ids if one in part_of}


def _between(sets: Sequence[Collection[str]], part_of: Mapping[str, Part]) -> str:
    """train and test 12, train and val 3."""
    pairs = Counter(
        " and ".join(part for part in PARTS if part in _parts(ids, part_of)) for ids in sets
    )
    return ", ".join(f"{names} {number:,}" for names, number in pairs.most_common())
