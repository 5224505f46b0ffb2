"""Recipe: everything that decides a training, one readable YAML."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .config import Config, Duration
from .data.augmentation import AugmentationConfig
from .data.dataset import DataConfig
from .errors import ConfigError
from .losses import LossConfig
from .models import LiteUNetConfig, ModelConfig
from .optim import OptimizerConfig, ScheduleConfig

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Monitor = Literal[
    "auto",
    "dataset.mean_iou",
    "dataset.mean_dice",
    "dataset.pixel_accuracy",
    "per_image.mean_iou",
    "per_image.mean_dice",
    "loss",
]

PACKAGED = Path(__file__).parent / "recipes"
"""The recipes that come with the installation."""


class Recipe(Config):
    """What `train` does. Whatever is None or "auto" is planned from the data and the machine."""

    data: DataConfig = DataConfig()
    model: ModelConfig = Field(default=LiteUNetConfig(), discriminator="name")
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    epochs: int | None = Field(default=None, ge=1)
    """Rounds of training, each followed by validation. None: planned, from the budget if given."""
    epoch_size: int | None = Field(default=None, ge=1)
    """Training windows per epoch. None: as many as there are training images, or planned."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images per step, over all processes. None: 8 on a CPU, 16 on a GPU, half of that where
    there would be few steps."""
    budget: Annotated[Duration, Field(gt=0)] | None = None
    """Time for the whole training, such as 5m. The schedule ends within it."""
    seed: int = Field(default=0, ge=0)
    """First weights, order, windows and augmentation follow from it."""
    precision: Precision = "auto"
    """auto: bf16 where the processor or GPU computes in it; else fp16 on a GPU, fp32 on a CPU."""
    clip_norm: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient; 0 switches clipping off."""
    ema: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the running mean of the weights that is scored and saved; 0 switches it off."""
    monitor: Monitor = "auto"
    """Validation score that chooses the best weights. auto: per_image.mean_iou for binary data,
    dataset.mean_iou otherwise."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many validations without a better score. None: never."""
    checkpoint_every: Duration = 60.0
    """Least time between two writes of last.pt."""

    def without_pretrained(self) -> "Recipe":
        """The same recipe with a network that starts empty, since its weights are loaded anyway."""
        if not getattr(self.model, "pretrained", False):
            return self
        empty = self.model.model_copy(update={"pretrained": False})
        return self.model_copy(update={"model": empty})

    def steps_per_epoch(self) -> int:
        """Of a planned recipe."""
        assert self.epoch_size and self.batch_size
        return -(-self.epoch_size // self.batch_size)

    def pixels_per_step(self) -> int:
        """Of a planned recipe: the area of a batch's windows."""
        assert self.data.image_size and self.batch_size
        return self.batch_size * self.data.image_size[0] * self.data.image_size[1]

    def total_steps(self) -> int:
        """Of a planned recipe."""
        assert self.epochs
        return self.epochs * self.steps_per_epoch()


def find_recipe(path: Path) -> Path:
    """`path` itself, or where there is none the packaged recipe that it names.

    Packaged recipes are named with or without `recipes/` before them. Raises ConfigError with their
    names where it is none of them.
    """
    packaged = PACKAGED / path.name
    if path.exists():
        return path
    if path.parent in (Path(), Path("recipes")) and packaged.is_file():
        return packaged
    names = sorted(file.name for file in PACKAGED.glob("*.yaml"))
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"did you mean recipes/{near[0]}? " if near else ""
    raise ConfigError(
        f"{path} does not exist; {hint}Recipes that come with the installation: {', '.join(names)}"
    )
