"""Leak-proof train, validation and test parts: given ones win, else they are made.

What is made is a pure function of seed, ids, groups and classes. Samples of a unit (a group, or
pictures alike) stay together; classes are spread by iterative stratification (Sechidis et al. 2011,
doi:10.1007/978-3-642-23808-6_10), rarest class first.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .findings import Finding, counted
from .layouts import Layout
from .samples import PARTS, Part

SHARES: Mapping[Part, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
ENOUGH_FOR_TEST = 100
"""Fewest training images out of which a test part is held where there is none."""
ENOUGH_UNITS = 5
"""Fewest units that are dealt to three parts instead of two."""

Unit = tuple[str, ...]
Splits = dict[Part, tuple[str, ...]]

_NAMES: Mapping[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Given:
    """Parts that somebody decided on."""

    parts: Splits
    source: str
    """splits.json, dataset.yaml, or words for the folders or lists they come from."""
    written: bool = True
    """Somebody wrote them for this very purpose."""


def read_given(layout: Layout) -> Given | None:
    """Parts from splits.json, dataset.yaml or folders; None where there are none.

    Raises DataError where splits.json is not what it should be.
    """
    ids = [sample.id for sample in layout.samples]
    file = layout.root / "splits.json"
    if file.is_file():
        return Given(_known_ids(read_splits_file(file), ids), file.name)
    if layout.declared.splits:
        named: Splits = {part: tuple(layout.declared.splits.get(part, ())) for part in PARTS}
        return Given(_known_ids(named, ids), layout.declared.source or "dataset.yaml")
    by_folder: Splits = {
        part: tuple(sample.id for sample in layout.samples if sample.part == part) for part in PARTS
    }
    if not any(by_folder.values()):
        return None
    return Given(by_folder, "the layout of the folder", written=False)


def read_splits_file(path: Path) -> Splits:
    """The parts in {"train": [ids], "val": [ids], "test": [ids]}. Raises DataError."""
    wanted = 'write {"train": [ids], "val": [ids], "test": [ids]}'
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not JSON ({error}); {wanted}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; {wanted}")
    parts: Splits = dict.fromkeys(PARTS, ())
    for name, ids in content.items():
        part = _NAMES.get(name.lower())
        if part is None:
            raise DataError(f"{path}: {name!r} is none of train, val, test; {wanted}")
        if not isinstance(ids, list) or not all(isinstance(one, str | int) for one in ids):
            raise DataError(f"{path}: {name!r} is not a list of ids; {wanted}")
        parts[part] += tuple(map(str, ids))
    return parts


def _known_ids(parts: Splits, ids: Collection[str]) -> Splits:
    """File names become ids where that is what they name."""
    known = set(ids)
    return {
        part: tuple(one if one in known or _stem(one) not in known else _stem(one) for one in named)
        for part, named in parts.items()
    }


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def examine_given(given: Given, ids: Collection[str]) -> list[Finding]:
    """What is wrong with given parts: ids unknown, in two parts, twice, in none."""
    times = Counter(one for named in given.parts.values() for one in set(named))
    unknown = tuple(sorted(times.keys() - set(ids)))
    shared = tuple(sorted(one for one, number in times.items() if number > 1))
    unused = tuple(sorted(one for one in ids if one not in times))
    twice = sorted(
        one for named in given.parts.values() for one, n in Counter(named).items() if n > 1
    )
    source, findings = given.source, []
    if unknown:
        message = f"{source} names {counted(len(unknown), 'id')} that no image with a mask has"
        fix = "Correct or remove them; an id is the image's file name without its ending"
        findings.append(Finding("split-unknown-id", "error", message, unknown, fix))
    if shared:
        message = f"{source} puts {counted(len(shared), 'id')} into two parts"
        fix = "Leave each in one part: scores on images trained on mean nothing"
        findings.append(Finding("id-in-two-parts", "error", message, shared, fix))
    if twice:
        message = f"{source} names {counted(len(twice), 'id')} twice in one part"
        findings.append(Finding("split-id-twice", "error", message, tuple(twice), "Name it once"))
    if unused:
        message = f"{source} puts {counted(len(unused), 'image')} into no part; left out"
        fix = "Add them to a part if they are to be used"
        findings.append(Finding("in-no-part", "warning", message, unused, fix))
    return findings


def complete(
    given: Given, units: Sequence[Unit], labels: Mapping[str, Collection[str]], seed: int = 0
) -> tuple[Splits, tuple[str, ...]]:
    """Given parts with what is missing held out of train, and a sentence for each such step.

    Validation images are always held out, test images only where folders give the parts and there
    are many: who wrote a list without a test part has one elsewhere.
    """
    parts: Splits = dict(given.parts)
    train = set(parts["train"])
    held: list[Part] = [] if parts["val"] else ["val"]
    if not (parts["test"] or given.written) and len(train) >= ENOUGH_FOR_TEST:
        held.append("test")
    rest = [tuple(one for one in unit if one in train) for unit in units]
    rest = [unit for unit in rest if unit]
    if held and len(rest) > len(held):
        shares: dict[Part, float] = {p: SHARES[p] for p in PARTS if p in ("train", *held)}
        made = make_splits(rest, labels, shares, seed)
        parts |= {part: made[part] for part in shares}
    return parts, tuple(_held_note(part, parts) for part in PARTS if not given.parts[part])


def _held_note(part: Part, parts: Splits) -> str:
    if parts[part]:
        images = counted(len(parts[part]), "image")
        return f"no {part} part was given: {images} of the train part are held out for it"
    if part == "test":
        return "there is no test part: evaluate on val, or name images for test in splits.json"
    return f"there is no {part} part: name images for it in splits.json"


def make_splits(
    units: Sequence[Unit],
    labels: Mapping[str, Collection[str]],
    shares: Mapping[Part, float] = SHARES,
    seed: int = 0,
) -> Splits:
    """Deal units to parts so that each part gets its share of the images of every label.

    `labels` are, for each id, the classes that stand in it. Few units make fewer parts: one is
    train alone, up to four are train and validation.
    """
    shares = _fewer_parts(shares, len(units))
    deal = _Deal(units, labels, shares, seed)
    deal.run()
    parts: Splits = dict.fromkeys(PARTS, ())
    for part, dealt in deal.dealt.items():
        chosen = {sample_id for unit in dealt for sample_id in unit}
        parts[part] = tuple(one for unit in units for one in unit if one in chosen)
    return parts


def _fewer_parts(shares: Mapping[Part, float], units: int) -> Mapping[Part, float]:
    most = 1 if units < 2 else 2 if units < ENOUGH_UNITS else 3
    kept = list(shares)[:most]
    total = sum(shares[part] for part in kept)
    return {part: shares[part] / total for part in kept}


class _Deal:
    """Iterative stratification of units."""

    def __init__(
        self,
        units: Sequence[Unit],
        labels: Mapping[str, Collection[str]],
        shares: Mapping[Part, float],
        seed: int,
    ) -> None:
        self.counts = {unit: _count_labels(unit, labels) for unit in units}
        total = _sum(self.counts.values())
        self.wanted = {
            part: {label: share * n for label, n in total.items()} for part, share in shares.items()
        }
        self.left = sorted(units, key=lambda unit: (-len(unit), _shuffled(unit, seed)))
        self.dealt: dict[Part, list[Unit]] = {part: [] for part in shares}

    def run(self) -> None:
        while self.left:
            label = self._rarest()
            chosen = [unit for unit in self.left if label in self.counts[unit]]
            self.left = [unit for unit in self.left if label not in self.counts[unit]]
            for unit in chosen:
                self._give(unit, label)
        self._fill_empty_parts()

    def _rarest(self) -> str:
        """The label of fewest images left; every image has the label of all, dealt last."""
        images = _sum(self.counts[unit] for unit in self.left)
        return min(images, key=lambda label: (label == _ANY, images[label], label))

    def _give(self, unit: Unit, label: str) -> None:
        """To the part that lacks the label most, and among equals lacks images most."""

        def lack(part: Part) -> tuple[float, float]:
            return round(self.wanted[part][label], 6), self.wanted[part][_ANY]

        part = max(self.dealt, key=lack)
        self.dealt[part].append(unit)
        for name, number in self.counts[unit].items():
            self.wanted[part][name] -= number

    def _fill_empty_parts(self) -> None:
        """No part stays empty: it gets the smallest unit of the part with most units."""
        for units in self.dealt.values():
            if not units:
                richest = max(self.dealt.values(), key=len)
                units.append(richest.pop(richest.index(min(reversed(richest), key=len))))


_ANY = ""


def _count_labels(unit: Unit, labels: Mapping[str, Collection[str]]) -> Counter[str]:
    """Label -> images of the unit that have it; _ANY counts all."""
    return Counter(label for one in unit for label in (_ANY, *labels.get(one, ())))


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _shuffled(unit: Unit, seed: int) -> str:
    """A place in a random order that other units have no influence on."""
    return hashlib.sha256(f"{seed} {unit[0]}".encode()).hexdigest()
