"""The tables, trees and lists of the docs say what the code says."""

import ast
import itertools
import json
import re
import runpy
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import delineo
from delineo.data.declared import DatasetFile
from delineo.data.layouts import find_layout
from delineo.tuning import tune

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of one language, without their fences."""
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def rows(page: str, heading: str = "") -> list[list[str]]:
    """The cells of all table rows below a heading (of the whole page without one)."""
    text = (DOCS / page).read_text()
    if heading:
        text = re.split(r"^## ", text.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_settings_page_is_what_the_settings_say():
    page = runpy.run_path(str(DOCS / "write_settings.py"))["page"]()
    assert (DOCS / "settings.md").read_text() == page, "run python docs/write_settings.py"


def constants() -> list[tuple[str, str]]:
    """Every `module.NAME` that a table of constants shows, with its value."""
    pattern = re.compile(r"^\| `([a-z_.]+\.[A-Z_]+)` \| `(.+?)` \|", re.MULTILINE)
    return [match for path in DOCS.glob("*.md") for match in pattern.findall(path.read_text())]


@pytest.mark.parametrize(("name", "value"), constants())
def test_constants_have_the_values_shown(name: str, value: str):
    module, _, constant = name.rpartition(".")
    shown = ast.literal_eval(value)
    assert getattr(import_module(f"delineo.{module}"), constant) == shown


@pytest.mark.parametrize("module", ["planning", "probe", "pace"])
def test_all_constants_of_planning_are_shown(module: str):
    tree = ast.parse((ROOT / "delineo" / f"{module}.py").read_text())
    targets = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    names = [
        name.id
        for target in targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name) and name.id.isupper()
    ]
    assert names
    assert {f"{module}.{name}" for name in names} <= {name for name, _ in constants()}


def test_dataset_yaml_has_the_keys_shown():
    assert [row[0] for row in rows("data.md", "dataset.yaml")] == list(DatasetFile.model_fields)


# Codes and severities that the source puts together, by their expression there.
COMPOSED = {
    "f'{code}s-across-splits'": ("exact-duplicates-across-splits", "near-duplicates-across-splits"),
    "f'no-{part}'": ("no-train", "no-val"),
    "code": ("exact-duplicate", "near-duplicate"),
    "'note' if wanted else 'error'": ("note", "error"),
    "'warning' if to_be_scored else 'error'": ("warning", "error"),
}


def emitted() -> dict[str, set[str]]:
    """Finding code -> severities, from every `Finding(...)` in the source."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "delineo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                code, severity = map(_possible, node.args[:2])
                if severity == ("severity",):  # decided by the code, just above
                    found["exact-duplicate"].add("warning")
                    found["near-duplicate"].add("note")
                    continue
                for one in code:
                    found[one].update(severity)
    return found


def _possible(expression: ast.expr) -> tuple[str, ...]:
    if isinstance(expression, ast.Constant):
        return (expression.value,)
    text = ast.unparse(expression)
    return COMPOSED.get(text, (text,))


def test_all_findings_are_listed_with_their_severity():
    listed = {
        code: set(severity.split(" or ")) for code, severity, *_ in rows("data.md", "Findings")
    }
    assert listed == emitted()


def plant(tree: str, root: Path) -> Path:
    """Make the files of a tree as the page draws it; returns its first folder."""
    coco, labelme = blocks("data.md", "json")
    contents = {"train.csv": blocks("data.md", "csv")[0], "annotations.json": coco}
    contents |= {f"{stem}.json": labelme.replace("a.jpg", f"{stem}.jpg") for stem in "ab"}
    contents["data.yaml"] = blocks("data.md", "yaml")[0]
    above: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r" {2,}", line.strip())
        if names[0].endswith("/"):
            above[depth:] = [names.pop(0)]
        folder = root.joinpath(*above)
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text(contents.get(name, ""))
    return root / above[0]


@pytest.mark.parametrize("tree", blocks("data.md", "text"))
def test_every_tree_is_found_as_it_is_drawn(tree: str, tmp_path: Path):
    folder = plant(tree, tmp_path)
    layout = find_layout(folder)
    drawn = {
        path
        for path in folder.rglob("*")
        if path.suffix in (".jpg", ".png", ".gif", ".bmp", ".tif")
    }
    used = {sample.image for sample in layout.samples}
    assert used
    assert not (layout.unpaired_images or layout.unpaired_masks or layout.findings)
    masks = drawn - used
    assert all(
        re.search("mask|annot|Segmentation|lesion", str(m.relative_to(folder))) for m in masks
    )


@pytest.fixture(scope="module")
def run(
    make_shapes: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A tiny run with everything that a run can hold."""
    root = tmp_path_factory.mktemp("docs")
    settings = ["model.name=unet", "model.width=2", "model.depth=1", "data.image_size=[32,32]"]
    trained = delineo.train(
        make_shapes(root / "discs", 12),
        [*settings, "epochs=1", "epoch_size=8", "batch_size=4"],
        out=root / "run",
    )
    tune(trained)
    evaluation = delineo.evaluate(delineo.Predictor.load(trained), trained.folder(), "test")
    evaluation.save(trained.evaluation_file("test"))
    delineo.write_report(trained.path)
    return trained.path


PARTS = {"train", "val", "test", "all"}
PLACEHOLDERS = {
    **dict.fromkeys(("0", "255"), "VALUE"),
    "foreground": "CLASS",
    "uint8": "DTYPE",
}


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Dotted keys down to what holds no further keys; classes, parts and values by placeholder."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        yield from leaves(value[0], f"{path}[]")
    elif isinstance(value, Mapping) and value:
        for key, inner in value.items():
            key = "PART" if value.keys() <= PARTS else PLACEHOLDERS.get(key, key)
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path


def unfold(key: str) -> Iterator[str]:
    """a.{b,c} -> a.b, a.c, as a shell does it."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", key)]
    pieces = [p if i % 2 else [",".join(p)] for i, p in enumerate(pieces)]
    return map("".join, itertools.product(*pieces))


@pytest.mark.parametrize(
    "name",
    [
        "dataset.json",
        "environment.json",
        "metrics.jsonl",
        "decision.json",
        "tuning.json",
        "evaluation-test.json",
    ],
)
def test_files_of_a_run_have_the_keys_shown(run: Path, name: str):
    record = json.loads((run / name).read_text().splitlines()[0] if name.endswith("l") else
                        (run / name).read_text())  # fmt: skip
    shown = {key for row in rows("run-directory.md", name) for key in unfold(row[0])}
    assert shown == set(leaves(record))


def test_the_files_of_a_run_are_those_shown(run: Path):
    shown = {row[0] for row in rows("run-directory.md", "Files")}
    assert shown == {"exports/FORMAT/", *(path.name for path in run.iterdir())}


def test_the_checkpoint_has_the_keys_shown(run: Path):
    shown = {key for row in rows("run-directory.md", "last.pt") for key in unfold(row[0])}
    assert shown == set(torch.load(run / "last.pt", weights_only=True))


def test_the_layers_are_those_that_are_checked():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = contract["contracts"][0]["layers"]
    assert blocks("architecture.md", "text")[0].splitlines() == layers


def test_messages_are_those_of_the_code():
    """Each message that training.md explains is still said, in these words."""
    said = {
        node.value
        for path in (ROOT / "delineo").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for message, *_ in rows("training.md", "Messages, and what to do"):
        assert any(message in text for text in said), message
