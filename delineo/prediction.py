"""Predictor: image in, mask out, any size; the same steps that training was scored with."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from .data.samples import DataFolder, Task
from .data.scaling import normalize, resize_image, to_tensor
from .data.sizing import match_channels, refuse_depth, rescaled, scaled_size
from .decision import Decision, decide
from .errors import MemoryFullError, RunError
from .machine import choose_precision
from .models import build_model
from .models.reach import measure
from .recipe import Recipe
from .run import Run
from .tiles import Footprint, probabilities

ModelFactory = Callable[[int, int], nn.Module]
"""(in_channels, num_classes) -> network from normalised images to logits of the same size."""


def build_network(recipe: Recipe, folder: DataFolder, model: ModelFactory | None) -> nn.Module:
    """The recipe's network, or what your own factory makes, in the layout convolutions like."""
    outputs = 1 if folder.task == "binary" else len(folder.classes)
    network = (
        model(folder.channels, outputs)
        if model
        else build_model(recipe.model, folder.channels, outputs)
    )
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def probabilities_of(
    logits: Float[Tensor, "batch classes height width"], task: Task
) -> Float[Tensor, "batch classes height width"]:
    """Softmax over exclusive classes, else one sigmoid per class."""
    return logits.softmax(1) if task == "multiclass" else logits.sigmoid()


class Predictor:
    """A network with everything that turns an image file's pixels into a mask."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, folder: DataFolder, decision: Decision
    ) -> None:
        data = recipe.data
        assert data.image_size and data.scale and data.mean and data.std  # a planned recipe
        self.network, self.decision = network, decision
        self.task: Task = folder.task
        self.classes, self.channels = folder.classes, folder.channels
        self.image_size, self.scale = data.image_size, data.scale
        self.device = next(network.parameters()).device
        self.mean = torch.tensor(data.mean, device=self.device)
        self.std = torch.tensor(data.std, device=self.device)
        self.precision = choose_precision(recipe.precision, self.device)
        self.trained_on: tuple[str, ...] = ()
        """Types of the pixels of the images it was trained on; empty: not known."""
        self._footprint: Footprint | None = None

    @classmethod
    def load(
        cls, run: Run | Path | str, device: str = "auto", model: ModelFactory | None = None
    ) -> "Predictor":
        """The best weights of a run, ready to use. `model` where the run trained one of your own.

        Raises RunError where `run` is none, has no weights, or those of another network.
        """
        run = run if isinstance(run, Run) else Run.open(Path(run))
        recipe, folder = run.recipe(), run.description()
        network = build_network(recipe.without_pretrained(), folder, model)
        _load_weights(network, run, recipe)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        predictor = cls(network.to(device).eval(), recipe, folder, run.decision())
        predictor.trained_on = tuple(run.dataset().get("summary", {}).get("dtypes", {}))
        return predictor

    def with_decision(self, decision: Decision) -> "Predictor":
        """The same network with another decision."""
        other = copy(self)
        other.decision = decision
        return other

    def at_scale(self, factor: float) -> "Predictor":
        """The same network, seeing images `factor` times as large."""
        other = copy(self)
        other.image_size, other.scale = rescaled(self.image_size, self.scale, factor)
        return other

    def __call__(self, image: np.ndarray) -> UInt8[np.ndarray, "*planes height width"]:
        """Mask of an image (height, width, channels) in the file's own value range.

        Binary and multi-class: class indices (height, width). Multi-label: 0/1 layers
        (classes, height, width). Raises as `probabilities`.
        """
        return decide(self.probabilities(image), self.decision)

    def probabilities(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """Probability of each class at each pixel of the image, 0 to 1, float32.

        An image (height, width) is taken as grey; one that is too large for the memory is answered
        in windows. Raises ShapeError where there are other axes, DataError where channels or type
        do not fit or pixels are no finite numbers.
        """
        return probabilities(self, image)

    def footprint(self) -> Footprint:
        """What cutting images into windows must know of the network."""
        if self._footprint is None:
            reach, values = measure(self.network, self.channels)
            self._footprint = Footprint(reach=reach, values=values)
        return self._footprint

    def at_once(self, image: np.ndarray) -> Float[np.ndarray, "classes height width"]:
        """`probabilities` of an image (height, width, channels) that fits in memory."""
        height, width = image.shape[:2]
        try:
            logits = self.logits(self.view(image)[None])
            return self.native(logits, (height, width)).cpu().numpy()
        except torch.OutOfMemoryError as error:
            raise MemoryFullError(
                f"the GPU has no memory left for {height} x {width} pixels; end what else works on "
                "it, or hide it, so that the processor predicts: CUDA_VISIBLE_DEVICES= delineo ..."
            ) from error

    def view(self, image: np.ndarray) -> Shaped[Tensor, "channels height width"]:
        """The image at the size and with the channels that the network looks at."""
        refuse_depth(image, self.trained_on)
        size = scaled_size((image.shape[0], image.shape[1]), self.image_size, self.scale)
        # not on a GPU, which cannot resize uint8 with antialiasing
        return resize_image(to_tensor(match_channels(image, self.channels)), size)

    @torch.inference_mode()
    def logits(
        self, views: Shaped[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes height width"]:
        """The network's answers to scaled images, float32."""
        inputs = normalize(views.to(self.device), self.mean, self.std)
        with self.autocast():
            return self.network(inputs.contiguous(memory_format=torch.channels_last)).float()

    @torch.inference_mode()
    def native(
        self, logits: Float[Tensor, "1 classes h w"], size: tuple[int, int]
    ) -> Float[Tensor, "classes height width"]:
        """Probabilities at the size of the image file, by the decision's temperature."""
        probabilities = probabilities_of(logits / self.decision.temperature, self.task)
        if tuple(logits.shape[2:]) == size:
            return probabilities[0]
        # without antialiasing where it shrinks: a threshold follows, edges stay sharp
        return F.interpolate(probabilities, size=size, mode="bilinear")[0]

    def autocast(self) -> AbstractContextManager:
        """The precision chosen for this machine: with "auto" not always that of the training."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)


def _load_weights(network: nn.Module, run: Run, recipe: Recipe) -> None:
    try:
        network.load_state_dict(run.best_weights())
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise RunError(
            f"{run.best_file} holds weights of another network than model.name="
            f"{recipe.model.name} with the settings in {run.recipe_file.name} "
            f"({first[0].strip()[:120]}); put files of one training together, or load with the "
            "`model` that it was trained with"
        ) from error
