"""The layer table people look for in papers: shape after every level, parameters, multiply-adds,
receptive field. Nothing is computed: shapes alone run through the network.

Receptive fields follow the usual recurrence (Araujo et al. 2019, doi:10.23915/distill.00021). Above
an upsampling they differ from pixel to pixel, and the number may be off by a pixel of the coarser
map.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary


@dataclass(frozen=True)
class Level:
    """One row of the table."""

    name: str
    """Of the module within the network; "input" for the image."""
    kind: str
    """Its class."""
    channels: int
    height: int
    width: int
    parameters: int
    multiply_adds: int
    """Of its convolutions, for one image."""
    receptive_field: int | None
    """Side, in pixels of the input, of the square that one value depends on; None: all of it."""


def summarize(model: nn.Module, in_channels: int, size: tuple[int, int]) -> list[Level]:
    """Rows for an image of `size` (height, width), in the order in which the levels work.

    Parameters and multiply-adds of the rows add up to those of the network.
    """
    model = copy.deepcopy(model).to("meta").eval()
    image = torch.empty(1, in_channels, *size, device="meta")
    tracer = _Tracer(image)
    levels = [tracer.level("input", "", image, parameters=0)]
    for name, module in _modules(model):
        module.register_forward_hook(_note(tracer, levels, name))
    with torch.no_grad(), tracer:
        model(image)
    return levels


def _modules(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network that are its levels: lists and encoders are opened."""
    for name, module in model.named_children():
        if isinstance(module, nn.ModuleList) or name == "encoder":
            yield from _modules(module, f"{prefix}{name}.")
        elif not isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity):
            yield prefix + name, module


def _note(tracer: "_Tracer", levels: list[Level], name: str) -> Callable[..., None]:
    def note(module: nn.Module, _inputs: object, output: Tensor) -> None:
        parameters = sum(parameter.numel() for parameter in module.parameters())
        levels.append(tracer.level(name, type(module).__name__, output, parameters))

    return note


@dataclass(frozen=True)
class _View:
    """What a value of a map sees of the image, and how far apart neighbours look, in pixels."""

    field: float = 1.0
    step: float = 1.0

    def window(self, taps: int, dilation: int = 1, stride: int = 1) -> "_View":
        """After a layer that reads `taps` values in a row and moves on by `stride`."""
        return _View(self.field + (taps - 1) * dilation * self.step, self.step * stride)

    def finer(self, factor: float | int, taps: int = 1) -> "_View":
        """After upsampling in which each value is made of `taps` neighbours."""
        return _View(self.field + (taps - 1) * self.step, self.step / factor)


class _Tracer(TorchFunctionMode):
    """Follows views through every function called on tensors, and counts multiplications."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.views = WeakTensorKeyDictionary()
        self.views[image] = _View()
        self.multiply_adds = 0

    def level(self, name: str, kind: str, output: Tensor, parameters: int) -> Level:
        """A row, with the multiplications since the row before."""
        field = self.views[output].field
        counted, self.multiply_adds = self.multiply_adds, 0
        _, channels, height, width = output.shape
        seen = None if math.isinf(field) else round(field)
        return Level(name, kind, channels, height, width, parameters, counted, seen)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        views = [self.views[tensor] for tensor in _tensors(args) if tensor in self.views]
        if not views:
            return result
        view = _View(max(view.field for view in views), min(view.step for view in views))
        name = getattr(func, "__name__", "")
        if name in _LAYERS:
            view = _LAYERS[name](view, result, *args, **(kwargs or {}))
            self.multiply_adds += _multiply_adds(name, result, args)
        for tensor in _tensors([result]):
            self.views[tensor] = view
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _multiply_adds(name: str, result: Any, args: Any) -> int:
    """Of a convolution for one image; 0 for other layers."""
    if name == "conv2d":
        return result[0].numel() * args[1][0].numel()
    if name == "conv_transpose2d":
        return args[0][0].numel() * args[1][0].numel()
    return 0


def _first(value: Any) -> int:
    """Of the height, where height and width may differ."""
    return value[0] if isinstance(value, list | tuple) else value


def _conv2d(
    view: _View,
    _result: Any,
    _x: Any,
    weight: Tensor,
    _bias: Any = None,
    stride: Any = 1,
    _padding: Any = 0,
    dilation: Any = 1,
    *_: Any,
) -> _View:
    return view.window(weight.shape[2], _first(dilation), _first(stride))


def _conv_transpose2d(
    view: _View, _result: Any, _x: Any, weight: Tensor, _bias: Any = None, stride: Any = 1, *_: Any
) -> _View:
    factor = _first(stride)
    return view.finer(factor, taps=-(-weight.shape[2] // factor))


def _max_pool2d(
    view: _View, _result: Any, _x: Any, kernel_size: Any, stride: Any = None, *_: Any, **__: Any
) -> _View:
    kernel_size = _first(kernel_size)
    return view.window(kernel_size, stride=_first(stride) if stride else kernel_size)


def _interpolate(
    view: _View, result: Tensor, x: Tensor, *_: Any, mode: str = "nearest", **__: Any
) -> _View:
    return view.finer(result.shape[2] / x.shape[2], taps=1 if mode == "nearest" else 2)


_LAYERS: dict[str, Callable[..., _View]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "_max_pool2d": _max_pool2d,
    "max_pool2d_with_indices": _max_pool2d,
    "max_unpool2d": lambda view, result, x, *_, **__: view.finer(result.shape[2] / x.shape[2]),
    "interpolate": _interpolate,
    "adaptive_max_pool2d": lambda view, *_, **__: _View(math.inf, view.step),
    "pixel_unshuffle": lambda view, _result, _x, factor: view.window(factor, stride=factor),
    "pixel_shuffle": lambda view, _result, _x, factor: view.finer(factor),
}
"""How the layers that change it change the view: (view, result, *arguments) -> view."""
