"""The recipe of a small grid for tests: two models, two losses."""

from pathlib import Path

GRID = """
grid:
  models:
    segnet: {form: basic, width: 2}
    strided: {name: unet, width: 2, depth: 1, down: stride}
  losses:
    bce: {bce: 1}
    dice: {dice: 1}
data: {image_size: [32, 32], workers: 0}
epochs: 1
epoch_size: 8
batch_size: 4
precision: fp32
"""
CELLS = ["segnet-bce", "segnet-dice", "strided-bce", "strided-dice"]


def changed(recipe: Path, old: str, new: str) -> Path:
    """The recipe with some of its text replaced, beside the original."""
    text = recipe.read_text()
    assert old in text
    path = recipe.with_name("changed.yaml")
    path.write_text(text.replace(old, new))
    return path
