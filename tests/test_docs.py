"""The code that README and docs show runs, in the order in which they show it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from typer.testing import CliRunner

from delineo import Recipe
from delineo.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

# What a page shows takes minutes on real photographs; here it takes seconds on small shapes.
SHORTER = {
    '"budget=5m"': '"epochs=1", "data.image_size=[64,64]"',
    "budget=5m": "epochs=1 data.image_size=[64,64]",
}


def run_commands(example: Example) -> None:
    """Each `delineo ...` line of a console block must end with exit code 0."""
    for line in example.parsed.splitlines():
        command, *arguments = shlex.split(line, comments=True) or [""]
        if command == "delineo":
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, f"{line}\n{result.output}"


def write_file(example: Example) -> None:
    """A YAML block is the file that its first line names; a recipe must be a right one."""
    path = Path(example.parsed.splitlines()[0].removeprefix("# "))
    path.write_text(example.parsed)
    if path.name == "recipe.yaml":
        Recipe.load(path)


SYBIL = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser(language="bash", evaluator=run_commands),
        CodeBlockParser(language="yaml", evaluator=write_file),
    ],
    patterns=["*.md"],
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_runs(
    page: Path,
    make_shapes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    photos = make_shapes(tmp_path / "photos")
    Image.open(photos / "images" / "disc00.png").save(photos / "images" / "a.jpg")
    (photos / "images" / "disc00.png").unlink()
    (photos / "masks" / "disc00.png").rename(photos / "masks" / "a.png")
    make_shapes(tmp_path / "new-photos", count=3, seed=1)
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    for shown, shorter in SHORTER.items():
        text = text.replace(shown, shorter)
    (tmp_path / page.name).write_text(text)
    for example in SYBIL.parse(tmp_path / page.name):
        example.evaluate()


def test_the_code_map_is_the_code():
    """Every module stands in the README's tree, and nothing else does."""
    tree = (ROOT / "README.md").read_text().split("```text\ndelineo/\n")[1].split("```")[0]
    shown = {word for line in tree.splitlines() for word in line.split("  ") if word.strip()}
    named = {word.strip() for word in shown if word.strip().endswith((".py", "/"))}
    files = [path for path in (ROOT / "delineo").rglob("*.py") if path.name != "__init__.py"]
    folders = {f"{path.parent.name}/" for path in files} - {"delineo/"}
    assert named == {path.name for path in files} | folders
