"""The data doctor: every trap of a data folder is found before anything is spent on it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import AnnotationError, ConfigError, DataError, NoFolderError
from ..progress import Progress
from .check_files import common_channels, file_findings, relative
from .check_masks import Known, mask_findings
from .check_parts import (
    EACH_ALONE,
    class_findings,
    copy_findings,
    group_findings,
    size_findings,
)
from .contents import Contents, read_contents, stratification_labels
from .duplicates import exact_duplicates, near_duplicates
from .facts import Facts
from .findings import Finding, counted, sort_findings
from .groups import fill_parts, kept_together, named_groups
from .inferred import Inferred, infer_encoding
from .layouts import Layout, find_layout
from .mask_values import MOST_IN_ONE
from .samples import DataFolder
from .scan import scan
from .splits import Given, Splits, complete, examine_given, make_splits, read_given
from .summary import summarize, summary_lines


@dataclass(frozen=True)
class Checkup:
    """What the doctor found. `folder` is None where the data cannot be used at all."""

    root: Path
    layout: str
    folder: DataFolder | None
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes."""
    assumptions: tuple[str, ...] = ()
    """One sentence for each thing that was inferred and not said."""
    summary: dict[str, Any] = field(default_factory=dict)
    """The data at a glance, as JSON: see `summarize`."""
    fingerprint: str = ""
    """Changes when any image, mask or id does."""
    facts: Mapping[str, Facts] = field(default_factory=dict, repr=False)
    """What is known of each sample's files, by id."""

    @property
    def ok(self) -> bool:
        """There is no error: the images can be scored, and trained on if train and val have any."""
        return self.folder is not None and not self.of("error")

    def of(self, severity: str) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def to_json(self) -> dict[str, Any]:
        """All but the facts, for programs."""
        return {
            "path": str(self.root.resolve()),
            "layout": self.layout,
            "ok": self.ok,
            "findings": [finding.to_json() for finding in self.findings],
            "assumptions": list(self.assumptions),
            "summary": self.summary,
            "fingerprint": self.fingerprint,
        }

    def lines(self) -> list[str]:
        """The data at a glance and what was assumed, as plain text; findings not included."""
        lines = [f"{self.root}: {self.layout}", *summary_lines(self.summary)]
        return lines + [f"assumed: {sentence}" for sentence in self.assumptions]


def check_folder(path: Path | str, progress: Progress | None = None) -> Checkup:
    """Look at every file of a data folder and say what is wrong with it.

    Raises NoFolderError where `path` is no folder and ConfigError where its dataset.yaml is wrong;
    all else is told in the findings.
    """
    root = Path(path)
    try:
        layout = find_layout(root)
    except AnnotationError as error:
        finding = Finding("bad-annotations", "error", str(error))
        return Checkup(root, "not understood", None, (finding,))
    except NoFolderError:
        raise
    except DataError as error:
        return Checkup(root, "not understood", None, (Finding("no-pairs", "error", str(error)),))
    facts = scan(layout, progress)
    findings = [*layout.findings, *file_findings(layout, facts)]
    try:
        inferred = infer_encoding(layout, facts)
    except (DataError, ConfigError) as error:
        findings.append(_unclear_masks(layout, facts, error))
        return Checkup(
            root, layout.name, None, sort_findings(findings), layout.notes, {}, "", facts
        )
    return _examine(layout, facts, inferred, findings)


def _unclear_masks(
    layout: Layout, facts: Mapping[str, Facts], error: DataError | ConfigError
) -> Finding:
    """What is unclear, and where the masks are whose values are too many for classes."""
    masks = [mask for known in facts.values() for mask in known.masks if mask.path]
    crowded = [mask for mask in masks if len(mask.values) + len(mask.colors) > MOST_IN_ONE]
    if not crowded or isinstance(error, ConfigError):
        return Finding("unclear-masks", "error", str(error))
    crowded.sort(key=lambda mask: -len(mask.values) - len(mask.colors))
    files = relative(layout.root, (mask.path for mask in crowded if mask.path))
    return Finding("unclear-masks", "error", f"{error}. Most values are in", files)


def _examine(
    layout: Layout, facts: dict[str, Facts], inferred: Inferred, findings: list[Finding]
) -> Checkup:
    """Masks, parts and summary, now that masks have a meaning."""
    contents = read_contents(facts, inferred)
    findings += mask_findings(Known(layout, facts, inferred, contents))
    splits, notes, more = _part(layout, facts, inferred, contents)
    findings += more
    assumptions = (*layout.notes, *inferred.assumptions, *notes)
    folder = None
    channels = common_channels(known.image.channels for known in facts.values() if known.image)
    if channels is not None and splits is not None:
        folder = DataFolder(
            root=layout.root,
            layout=layout.name,
            task=inferred.task,
            classes=inferred.classes,
            channels=channels,
            encoding=inferred.encoding,
            samples=layout.samples,
            splits=splits,
            assumptions=assumptions,
        )
    return Checkup(
        root=layout.root,
        layout=layout.name,
        folder=folder,
        findings=sort_findings(findings),
        assumptions=assumptions,
        summary=summarize(inferred, facts, contents, splits, channels),
        fingerprint=_fingerprint(facts),
        facts=facts,
    )


def _part(
    layout: Layout, facts: dict[str, Facts], inferred: Inferred, contents: dict[str, Contents]
) -> tuple[Splits | None, tuple[str, ...], list[Finding]]:
    """Parts, how they came about, and findings; no parts where given ones are wrong."""
    ids = [sample.id for sample in layout.samples]
    images = {key: known.image for key, known in facts.items() if known.image}
    exact, near = exact_duplicates(images), near_duplicates(images)
    said = {sample.id: sample.group for sample in layout.samples if sample.group is not None}
    named = {} if said else named_groups(ids)
    guessed = named if fill_parts(named) else {}
    units = kept_together(ids, said or guessed, [*exact, *near])
    labels = stratification_labels(contents, inferred.task == "binary")
    try:
        given = read_given(layout)
    except DataError as error:
        return None, (), [Finding("splits-unreadable", "error", str(error))]
    if given is None:
        findings, splits = [], make_splits(units, labels)
        notes = _made_notes(splits, guessed, len(units) < len(ids))
    else:
        findings = examine_given(given, ids)
        if any(finding.severity == "error" for finding in findings):
            return None, (), findings
        splits, notes = complete(given, units, labels)
    remedy = _remedy(given)
    findings += size_findings(splits)
    findings += class_findings(contents, inferred.classes, splits)
    apart = remedy if given else _TOO_FEW_GROUPS
    findings += group_findings(said or named, bool(named), splits, apart)
    findings += copy_findings(exact, near, splits, facts, remedy)
    return splits, notes, findings


_TOO_FEW_GROUPS = (
    "They are too few, or too unequal, to fill train, val and test as wholes: add images of "
    "others, or name the parts in splits.json with each group in one of them"
)


def _remedy(given: Given | None) -> str:
    """What to do about images in two parts that belong into one."""
    if given is None:
        return "Name the parts yourself in splits.json if that is not wanted"
    if given.written:
        return f"Keep them in one part: change {given.source}, or remove it to have parts made"
    return "Keep them in one part with a splits.json, unless these parts are a fixed protocol"


def _made_notes(splits: Splits, guessed: Mapping[str, str], linked: bool) -> tuple[str, ...]:
    sizes = ", ".join(f"{part} {len(ids):,}" for part, ids in splits.items() if ids)
    together = "; groups and copies stay in one part" if linked else ""
    notes = [f"no parts were given, so they are made: {sizes}{together}"]
    if guessed:
        groups = sorted(set(guessed.values()))
        notes.append(
            f"ids that begin alike show one thing ({counted(len(groups), 'group')}, such as "
            f"{groups[0]!r}) and stay in one part; if each image stands alone, write "
            f"`{EACH_ALONE}` in dataset.yaml"
        )
    return tuple(notes)


def _fingerprint(facts: Mapping[str, Facts]) -> str:
    digest = hashlib.sha256()
    for sample_id, known in sorted(facts.items()):
        masks = [f"{mask.layer}:{mask.digest}" for mask in known.masks]
        image = known.image.digest if known.image else ""
        drawn = [known.drawn.digest] if known.drawn else []
        digest.update("\n".join([sample_id, image, *masks, *drawn, ""]).encode())
    return digest.hexdigest()


def open_folder(path: Path | str, progress: Progress | None = None) -> DataFolder:
    """A folder without errors. Raises DataError that lists all errors found."""
    checkup = check_folder(path, progress)
    if checkup.folder is None or not checkup.ok:
        errors = "\n".join(f"- {finding.text()}" for finding in checkup.of("error"))
        raise DataError(f"{path} cannot be used:\n{errors}")
    return checkup.folder
