"""What a network does to a tensor, noted function by function: layers, multiply-adds, views."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .views import Taps, View, blended, image_view, nudged, repeated, shifted, transposed, windows


class Tracer(TorchFunctionMode):
    """While it is entered, follows whatever is made of `image`."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._views = WeakTensorKeyDictionary()  # None: depends on all of the image
        self._views[image] = image_view()
        self._layers: Counter[str] = Counter()
        self._multiply_adds = 0
        self.largest = 0
        """Numbers in the largest tensor so far."""

    def collect(self) -> tuple[str, int]:
        """Layers in words and multiply-adds for one image, since the last time."""
        layers, multiply_adds = _in_words(self._layers), self._multiply_adds
        self._layers, self._multiply_adds = Counter(), 0
        return layers, multiply_adds

    def view(self, tensor: Tensor) -> View | None:
        """What each row of a map depends on; None: all of the image."""
        return self._views[tensor]

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        views = [self._views[tensor] for tensor in _tensors(args) if tensor in self._views]
        if views:
            view = None if None in views else reduce(View.joined, views)
            name = getattr(func, "__name__", "")
            if name in _LAYERS:
                view = self._note(_LAYERS[name](result, *args, **(kwargs or {})), view)
            for tensor in _tensors([result]):
                self._views[tensor] = view
                self.largest = max(self.largest, tensor.numel())
        return result

    def _note(self, layer: "_Layer", view: View | None) -> View | None:
        """Count a layer; returns the view after it."""
        self._layers[layer.name] += 1
        self._multiply_adds += layer.multiply_adds
        return view.through(layer.taps(view.height)) if view and layer.taps else None


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _in_words(layers: Counter[str]) -> str:
    """2 conv 3x3, add; sums come last, and BatchNorm is only named where it is all there is."""
    names = [name for name in layers if name not in ("", _NORM)] or list(layers)
    counts = {name: layers[name] for name in sorted(names, key=_SUM.__eq__)}
    return ", ".join(f"{count} {name}" if count > 1 else name for name, count in counts.items())


@dataclass(frozen=True)
class _Layer:
    """What one call does."""

    name: str
    """In words; "" for what readers of a table need not know."""
    taps: Callable[[int], Taps] | None
    """Rows of the map in one period -> which of them each new row is made of; None: all of them."""
    multiply_adds: int = 0
    """For one image."""


_NORM, _SUM = "BatchNorm", "add"
_unmoved = partial(shifted, rows=0)


def _conv2d(
    result: Tensor,
    _x: Tensor,
    weight: Tensor,
    _bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> _Layer:
    size, stride, dilation = weight.shape[2], _first(stride), _first(dilation)
    name = f"{'depthwise ' if groups > 1 else ''}conv {size}x{size}"
    name += f" dilation {dilation}" if dilation > 1 else ""
    name += f" /{stride}" if stride > 1 else ""
    taps = partial(windows, size=size, stride=stride, padding=_first(padding), dilation=dilation)
    return _Layer(name, taps, result[0].numel() * weight[0].numel())


def _conv_transpose2d(
    _result: Tensor,
    x: Tensor,
    weight: Tensor,
    _bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    *_: Any,
) -> _Layer:
    size, stride = weight.shape[2], _first(stride)
    taps = partial(transposed, size=size, stride=stride, padding=_first(padding))
    name = f"transposed conv {size}x{size} x{stride}"
    return _Layer(name, taps, x[0].numel() * weight[0].numel())


def _max_pool2d(
    _result: Any, _x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, **_: Any
) -> _Layer:
    size = _first(kernel_size)
    stride = _first(stride) if stride else size
    taps = partial(windows, size=size, stride=stride, padding=_first(padding))
    return _Layer(f"max pool {size}x{size} /{stride}", taps)


def _max_unpool2d(
    _result: Tensor, _x: Tensor, _indices: Tensor, kernel_size: Any, *_: Any, **__: Any
) -> _Layer:
    factor = _first(kernel_size)
    return _Layer(f"unpool x{factor}", partial(repeated, factor=factor))


def _interpolate(
    result: Tensor,
    x: Tensor,
    _size: Any = None,
    _scale_factor: Any = None,
    mode: str = "nearest",
    *_: Any,
    **__: Any,
) -> _Layer:
    before, after = x.shape[2], result.shape[2]
    factor = after // before
    if factor <= 1:
        return _Layer("resize", partial(nudged, rows=after - before))
    taps = partial(repeated if mode == "nearest" else blended, factor=factor)
    return _Layer(f"upsample x{factor}", taps)


def _pad(_result: Tensor, _x: Tensor, padding: Any, *_: Any, **__: Any) -> _Layer:
    """(left, right, top, bottom)"""
    return _Layer("", partial(shifted, rows=padding[2]))


def _pixel_unshuffle(_result: Tensor, _x: Tensor, factor: int) -> _Layer:
    return _Layer(f"pixels to channels /{factor}", partial(windows, size=factor, stride=factor))


def _pixel_shuffle(_result: Tensor, _x: Tensor, factor: int) -> _Layer:
    return _Layer(f"channels to pixels x{factor}", partial(repeated, factor=factor))


def _always(name: str, taps: Callable[[int], Taps] | None) -> Callable[..., _Layer]:
    return lambda *_, **__: _Layer(name, taps)


def _first(value: Any) -> int:
    """Of the height, where height and width may differ."""
    return value[0] if isinstance(value, list | tuple) else value


_LAYERS: dict[str, Callable[..., _Layer]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "_max_pool2d": _max_pool2d,
    "max_pool2d_with_indices": _max_pool2d,
    "max_unpool2d": _max_unpool2d,
    "adaptive_max_pool2d": _always("pool of parts", None),
    "interpolate": _interpolate,
    "pad": _pad,
    "pixel_unshuffle": _pixel_unshuffle,
    "pixel_shuffle": _pixel_shuffle,
    "batch_norm": _always(_NORM, _unmoved),
    "cat": _always("concat", _unmoved),
    "add": _always(_SUM, _unmoved),
}
"""PyTorch's functions that a table names or that change the view: (result, *arguments) -> layer."""
