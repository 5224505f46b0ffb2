"""From probabilities to a mask: the thresholds that travel with a model.

Evaluation and prediction both decide here.
"""

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import Field

from .config import Config
from .data.samples import Task
from .errors import RunError


class Decision(Config):
    """How probabilities become a mask."""

    task: Task
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Binary and multi-label: a pixel belongs to the class at this probability or above."""

    @classmethod
    def default(cls, task: Task, classes: tuple[str, ...]) -> "Decision":
        """0.5 for every class; multi-class takes the most probable class."""
        thresholds = {} if task == "multiclass" else dict.fromkeys(classes, 0.5)
        return cls(task=task, thresholds=thresholds)

    @classmethod
    def read(cls, path: Path) -> "Decision":
        """From decision.json. Raises RunError where it is missing or broken."""
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read ({error}); train again") from error
        if not isinstance(values, dict):
            raise RunError(f"{path} holds no settings; train again")
        return cls.parse(values, str(path))

    def for_classes(self, task: Task, classes: tuple[str, ...]) -> "Decision":
        """With the thresholds in the order of the classes.

        Raises RunError where it was made for another task or other classes.
        """
        expected = Decision.default(task, classes)
        if self.task != task or self.thresholds.keys() != expected.thresholds.keys():
            raise RunError(
                f"decision.json decides {self.task} masks with thresholds of "
                f"{', '.join(self.thresholds) or 'no class'}, the run has {task} masks of "
                f"{', '.join(classes)}; put back the file that the training wrote"
            )
        ordered = {name: self.thresholds[name] for name in expected.thresholds}
        return self.model_copy(update={"thresholds": ordered})


def decide(
    probabilities: Float[np.ndarray, "classes height width"], decision: Decision
) -> UInt8[np.ndarray, "*planes height width"]:
    """Mask of class indices (binary, multi-class) or one 0/1 layer per class (multi-label)."""
    if decision.task == "multiclass":
        # torch goes along the classes ten times faster than NumPy
        return torch.from_numpy(probabilities).argmax(0).byte().numpy()
    thresholds = np.array(list(decision.thresholds.values()), np.float32).reshape(-1, 1, 1)
    layers = (probabilities >= thresholds).astype(np.uint8)
    return layers[0] if decision.task == "binary" else layers
