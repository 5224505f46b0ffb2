"""What happens before the first training step: launch, check, plan, a run directory."""

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric

from .data.check import Checkup, check_folder
from .data.contents import Contents, class_frequencies, class_shares, read_contents
from .data.findings import counted
from .data.inferred import Inferred
from .data.samples import DataFolder
from .decision import Decision
from .errors import ConfigError, DataError
from .files import write_atomically
from .footprint import Footprint
from .losses import LossConfig
from .machine import FABRIC_PRECISION, choose_precision, keep_memory
from .models import check_start
from .planning import Timer, median_frequency_weights, plan
from .progress import Progress
from .recipe import Recipe, find_recipe
from .run import Run
from .yamlfile import read_yaml


def load_recipe(source: Path | str | Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe in a YAML file, on disk or packaged, or the default one for a data folder.

    Raises ConfigError where `source` is neither, or where an override does not fit.
    """
    if isinstance(source, Recipe):
        return Recipe.parse(source.model_dump(), "recipe", overrides)
    source = Path(source)
    if source.is_dir():
        return Recipe.parse({"data": {"path": str(source)}}, "recipe", overrides)
    if source.suffix in (".yaml", ".yml"):
        path = find_recipe(source)
        if "grid" in read_yaml(path):
            raise ConfigError(
                f"{path} is a grid of models and losses; train it with "
                f"delineo compare {source} --out DIR"
            )
        return Recipe.load(path, list(overrides))
    raise ConfigError(f"{source} is neither a data folder nor a recipe (.yaml); check the path")


def resumed_recipe(source: Path | str | Recipe, overrides: Sequence[str], out: Path) -> Recipe:
    """The recipe of the run at `out`.

    Raises ConfigError for overrides that would change it, and for another data folder.
    """
    run = Run.open(out)
    recipe, data = run.recipe(), run.description().root
    if not isinstance(source, Recipe) and Path(source).is_dir() and Path(source).resolve() != data:
        raise ConfigError(
            f"--resume goes on with the data of {out}, {data}, and not with {source}; give that "
            "folder, or start a new run with another --out"
        )
    if recipe.override(overrides) != recipe:
        raise ConfigError(
            f"--resume goes on with the settings of {out}, which {' '.join(overrides)} would "
            "change; leave them out, or start a new run with another --out"
        )
    return recipe


def launch(recipe: Recipe) -> Fabric:
    """Fabric on this machine's accelerator, over all processes that torchrun started."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    _check_processes(recipe, world, local)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = choose_precision(recipe.precision, device)
    keep_memory()
    # what it says of precision stands in environment.json
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device.type,
        devices=local,
        num_nodes=max(1, world // local),
        strategy="ddp" if world > 1 else "auto",
        precision=FABRIC_PRECISION[precision],  # pyright: ignore[reportArgumentType]
    )
    fabric.launch()
    return fabric


def _check_processes(recipe: Recipe, world: int, local: int) -> None:
    """Raises ConfigError where some of the processes would have no image, or no GPU."""
    if recipe.batch_size is not None and recipe.batch_size < world:
        raise ConfigError(
            f"batch_size={recipe.batch_size} gives some of the {world} processes no image; "
            f"use batch_size={world} or more, or fewer processes"
        )
    if torch.cuda.is_available() and local > torch.cuda.device_count():
        raise ConfigError(
            f"{local} processes want a GPU each, and this machine has {torch.cuda.device_count()}; "
            "start as many as it has, or hide it, so that processors train: "
            "CUDA_VISIBLE_DEVICES= torchrun ..."
        )


def check_data(recipe: Recipe, progress: Progress) -> Checkup:
    """Let the data doctor look; say what it found. Raises DataError where it found errors."""
    if recipe.data.path is None:
        raise ConfigError("the recipe names no data: add data.path=FOLDER")
    checkup = check_folder(recipe.data.path, progress)
    for finding in checkup.findings:
        if finding.severity != "note":
            progress.message(f"{finding.severity}: {finding.text()}")
    errors = [finding for finding in checkup.findings if finding.severity == "error"]
    if errors or checkup.folder is None:
        raise DataError(
            f"{recipe.data.path} has {counted(len(errors), 'error')}, listed above; "
            "nothing was trained. `delineo check` shows them again"
        )
    for part in ("train", "val"):
        if not checkup.folder.part(part):
            raise DataError(
                f"{recipe.data.path} has no {part} images; training needs at least one. Add images "
                "or say in splits.json which are for training and which for validation"
            )
    return checkup


def training_contents(checkup: Checkup, folder: DataFolder) -> list[Contents]:
    """What the masks of the training part hold."""
    inferred = Inferred(folder.task, folder.classes, folder.encoding, folder.assumptions)
    contents = read_contents(checkup.facts, inferred)
    return [contents[key] for key in folder.splits["train"]]


def balanced(loss: LossConfig, contents: list[Contents], classes: tuple[str, ...]) -> LossConfig:
    """The loss with class weights that are asked for by name as numbers.

    Raises ConfigError where it needs to see a class that no training mask shows, or has not one
    weight for each class.
    """
    _check_number_of_weights(loss, classes)
    named = loss.class_weights == "median_frequency"
    needy = [f"loss.{name}" for name in ("tversky", "focal_tversky") if getattr(loss, name)]
    needy += ["loss.class_weights=median_frequency"] if named else []
    shares = class_shares(contents, classes)
    absent = [name for name, share in shares.items() if not share]
    if needy and absent:
        raise ConfigError(
            f"{needy[0]} weighs what is missed of each class, and no training mask shows "
            f"{', '.join(absent)}; add such images to the training part, take the class out of "
            "`classes` in dataset.yaml, or use loss.dice=1 instead"
        )
    if not named:
        return loss
    weights = median_frequency_weights(class_frequencies(contents, classes).values())
    return loss.model_copy(update={"class_weights": weights})


def _check_number_of_weights(loss: LossConfig, classes: tuple[str, ...]) -> None:
    weights = loss.class_weights
    if isinstance(weights, tuple) and len(weights) != len(classes):
        raise ConfigError(
            f"loss.class_weights must have one number for each class, {len(classes)} in all "
            f"({', '.join(classes)}), got {len(weights)}"
        )


def start_run(
    recipe: Recipe,
    out: Path,
    timer: Timer,
    footprint: Footprint,
    started: float,
    progress: Progress,
) -> tuple[Recipe, DataFolder]:
    """Check, plan, and write all that a run holds before its first epoch.

    `started` is the clock reading from which the budget counts.
    """
    Run.refuse_taken(out)
    check_start(recipe.model)
    checkup = check_data(recipe, progress)
    assert checkup.folder is not None
    folder = checkup.folder
    most_pixels = footprint(recipe, folder)
    spent = time.monotonic() - started
    left = recipe.budget and recipe.budget - spent
    contents = training_contents(checkup, folder)
    loss = balanced(recipe.loss, contents, folder.classes)
    recipe = recipe.model_copy(update={"loss": loss})
    shares = tuple(class_shares(contents, folder.classes).values())
    recipe = plan(recipe, folder, shares, timer, left, most_pixels)
    run = Run.create(out)
    run.write_dataset(folder, checkup.to_json())
    decision = Decision.default(folder.task, folder.classes)
    write_atomically(run.decision_file, decision.model_dump_json(indent=1))
    # last: what has a recipe can be resumed
    write_atomically(run.recipe_file, recipe.to_yaml())
    for finding in checkup.findings:
        run.log(f"{finding.severity}: {finding.text()}")
    _tell_of_memory(run, recipe, most_pixels, progress)
    return recipe, folder


def _tell_of_memory(run: Run, recipe: Recipe, most_pixels: float, progress: Progress) -> None:
    """Say it where steps are likely to take more memory than there is, in train.log too: who was
    killed for it looks there.
    """
    assert recipe.batch_size and recipe.data.image_size
    height, width = recipe.data.image_size
    times = recipe.batch_size * height * width / most_pixels
    if times > 1:
        text = (
            f"warning: steps with batch_size={recipe.batch_size} and windows of {height} x {width} "
            f"want about {times:.1f} times the memory that is free for them; should the training "
            "be killed, lower batch_size or data.image_size"
        )
        progress.message(text)
        run.log(text)
