"""Which samples belong together: the car, the patient, the video that an id begins with."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

LEAST_GROUPS = 8
LARGEST_SHARE = 0.2  # of all images, for the largest group
LEAST_TOGETHER = 0.8  # share of the images that stand in a group of two or more

_SEPARATOR = re.compile(r"[-_. ]+")
_INDEX = re.compile(r"(?:[a-z]{0,9}\d{1,4}|left|right|[lr])", re.IGNORECASE)  # 07, slice012, left
_YEAR = re.compile(r"(?:19|20)\d\d")


def guess_groups(ids: Sequence[str]) -> dict[str, str]:
    """Id -> group, where ids look like GROUP_INDEX; empty where that is doubtful.

    03a857ce842d_01, patient12_slice_004 and video3-0007 have such groups. A beginning without a
    digit (crack_001) may be a class or a place and is none. All must look alike, and no group may
    hold a large share of all images.
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
    named = all(re.search(r"\d", name) and not _YEAR.fullmatch(name) for name in sizes)
    together = sum(size for size in sizes.values() if size > 1)
    return (
        named
        and len(sizes) >= LEAST_GROUPS
        and max(sizes.values()) <= LARGEST_SHARE * len(groups)
        and together >= LEAST_TOGETHER * len(groups)
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
