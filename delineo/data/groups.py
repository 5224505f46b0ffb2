"""Which samples belong together: the car, the patient, the video that an id begins with."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .splits import ENOUGH_UNITS, SHARES, make_splits

LEAST_GROUPS = 3
"""Fewer beginnings are rather kinds of images: with and without a defect, two modalities."""
LEAST_TOGETHER = 0.8  # share of the images that stand in a group of two or more
LEAST_FILLED = 0.5  # share of what a part should get, where whole groups are dealt
LARGEST_SHARE = 0.2  # of all images, for a chain of pictures alike

_SEPARATOR = re.compile(r"[-_. /]+")
_INDEX = re.compile(r"(?:[a-z]{0,9}\d{1,4}|left|right|[lr])", re.IGNORECASE)  # 07, slice012, left
_YEAR = re.compile(r"(?:19|20)\d\d")
_KIND = re.compile(r"(?:class|cls|type|kind|grade|category|label|stage|level|score|fold)\d*|\d+x")


def guess_groups(ids: Sequence[str]) -> dict[str, str]:
    """Id -> group, where ids show groups that fill all parts; else empty."""
    groups = named_groups(ids)
    return groups if fill_parts(groups) else {}


def named_groups(ids: Sequence[str]) -> dict[str, str]:
    """Id -> group, where ids look like GROUP_INDEX; empty where that is doubtful.

    03a857ce842d_01, patient12/slice_004 and video3-0007 have such groups. A beginning without a
    digit (crack_001) may be a class or a place and is none, nor is one with a year for its number
    (IMG_2019_01) or a kind (grade2_001, 40x_001). All must look alike.
    """
    tokens = {sample_id: _SEPARATOR.split(sample_id) for sample_id in ids}
    lengths = {len(words) for words in tokens.values()}
    if len(lengths) != 1:
        return {}
    for length in range(1, lengths.pop()):
        groups = {sample_id: "_".join(words[:length]) for sample_id, words in tokens.items()}
        tails = [words[length:] for words in tokens.values()]
        if _are_indices(tails) and _are_groups(groups):
            return groups
    return {}


def _are_indices(tails: Iterable[Sequence[str]]) -> bool:
    return all(_INDEX.fullmatch(word) for tail in tails for word in tail)


def _are_groups(groups: Mapping[str, str]) -> bool:
    sizes = Counter(groups.values())
    together = sum(size for size in sizes.values() if size > 1)
    return (
        len(sizes) >= LEAST_GROUPS
        and together >= LEAST_TOGETHER * len(groups)
        and all(_names_one(name.split("_")) for name in sizes)
    )


def _names_one(words: Sequence[str]) -> bool:
    """Whether a beginning can be the name of one thing: a number, of no year and no kind."""
    numbered = any(re.search(r"\d", word) for word in words if not _YEAR.fullmatch(word))
    return numbered and not any(_KIND.fullmatch(word.lower()) for word in words)


def fill_parts(groups: Mapping[str, str]) -> bool:
    """Whether whole groups give each part enough of the images that it should get."""
    units = [tuple(members) for members in _by_group(list(groups), groups)]
    if len(units) < ENOUGH_UNITS:
        return False
    parts = make_splits(units, {})
    return all(
        len(parts[part]) >= LEAST_FILLED * share * len(groups) for part, share in SHARES.items()
    )


def kept_together(
    ids: Sequence[str], groups: Mapping[str, str], alike: Iterable[Sequence[str]]
) -> list[tuple[str, ...]]:
    """The smallest units that respect groups and sets of ids that are `alike`.

    Each unit is in the order of `ids`. A unit that pictures alike chain together over more than
    LARGEST_SHARE of all images (a video) is cut into blocks of neighbours.
    """
    units = _connected(ids, _by_group(ids, groups))
    whole = {unit[0]: unit for unit in units}
    head = {sample_id: unit[0] for unit in units for sample_id in unit}
    links = [[head[sample_id] for sample_id in same] for same in alike]
    joined: list[tuple[str, ...]] = []
    for chain in _connected([unit[0] for unit in units], links):
        members = [whole[first] for first in chain]
        joined += _blocks(members, len(ids))
    return joined


def _by_group(ids: Sequence[str], groups: Mapping[str, str]) -> list[list[str]]:
    members: dict[str, list[str]] = {}
    for sample_id in ids:
        if sample_id in groups:
            members.setdefault(groups[sample_id], []).append(sample_id)
    return list(members.values())


def _connected(ids: Sequence[str], links: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """Sets of ids that links join, directly or over others."""
    root = {sample_id: sample_id for sample_id in ids}

    def find(sample_id: str) -> str:
        while root[sample_id] != sample_id:
            root[sample_id] = sample_id = root[root[sample_id]]
        return sample_id

    for first, *others in links:
        for other in others:
            root[find(other)] = find(first)
    members: dict[str, list[str]] = {}
    for sample_id in ids:
        members.setdefault(find(sample_id), []).append(sample_id)
    return [tuple(same) for same in members.values()]


def _blocks(members: Sequence[tuple[str, ...]], total: int) -> list[tuple[str, ...]]:
    """One unit, or several blocks of neighbours where it would be too large."""
    size = sum(len(unit) for unit in members)
    if size <= max(LARGEST_SHARE * total, 2) or len(members) == 1:
        return [tuple(sample_id for unit in members for sample_id in unit)]
    most = max(LARGEST_SHARE / 4 * total, 1)
    blocks: list[list[str]] = [[]]
    for unit in members:
        if blocks[-1] and len(blocks[-1]) + len(unit) > most:
            blocks.append([])
        blocks[-1] += unit
    return [tuple(block) for block in blocks]
