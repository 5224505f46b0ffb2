"""A GPU for machines without one: what is moved to it is computed on the processor, and what a GPU
would refuse is refused, namely operations on tensors of both places and NumPy arrays of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
MOVES = (Tensor.to, Tensor.cpu, Tensor.cuda)


class Places:
    """Which memory is the GPU's: views lie where their tensor lies."""

    def __init__(self) -> None:
        # a weak reference keeps the address from being given to another storage
        self._there: dict[int, StorageWeakRef] = {}
        self.waits: list[str] = []
        """What the processor had to wait for the GPU for."""

    def put(self, value: Any) -> Any:
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor):
                memory = StorageWeakRef(tensor.untyped_storage())
                self._there[memory.cdata] = memory
        return value

    def fetch(self, tensor: Tensor) -> Tensor:
        self._there.pop(StorageWeakRef(tensor.untyped_storage()).cdata, None)
        return tensor

    def has(self, tensor: Tensor) -> bool:
        return StorageWeakRef(tensor.untyped_storage()).cdata in self._there


class Operations(TorchDispatchMode):
    """Looks at every operation, those of gradients and optimisers too."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = [tensor for tensor in tensors if self.places.has(tensor)]
        if there and name == "_local_scalar_dense":
            self.places.waits.append("item")
        if not there or name in ("copy_", "_foreach_copy_"):
            return func(*args, **kwargs)
        # single numbers may come from anywhere
        if any(tensor.ndim and not self.places.has(tensor) for tensor in tensors):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        return self.places.put(func(*args, **kwargs))


class Functions(TorchFunctionMode):
    """Moves tensors, makes them where they are wanted, and says where they are."""

    def __init__(self, places: Places) -> None:
        super().__init__()
        self.places = places

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        first = args[0] if args and isinstance(args[0], Tensor) else None
        there = first is not None and self.places.has(first)
        if func == Tensor.device.__get__:  # pyright: ignore[reportAttributeAccessIssue]
            return GPU if there else func(*args)
        if there and func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func is Tensor.__deepcopy__:
            return self.places.put(func(*args)) if there else func(*args)
        wanted, args, kwargs = without_device(func, args, kwargs)
        if wanted == "meta":
            return func(*args, device=wanted, **kwargs)
        if func in MOVES:
            return self._moved(args, kwargs, there if wanted is None else wanted == "cuda")
        return self.places.put(func(*args, **kwargs)) if wanted == "cuda" else func(*args, **kwargs)

    def _moved(self, args: Any, kwargs: Any, wanted_there: bool) -> Tensor:
        tensor, *how = (each for each in args if each is not None and not isinstance(each, bool))
        moved = tensor.to(*how, **kwargs) if how or kwargs else tensor
        if self.places.has(tensor) == wanted_there:
            return moved
        if not wanted_there:
            self.places.waits.append("fetch")
        # a copy of what is there lies there, too
        return self.places.put(moved.clone()) if wanted_there else self.places.fetch(moved.clone())


def without_device(func: Any, args: Any, kwargs: Any) -> tuple[str | None, Any, Any]:
    """The kind of device that is asked for, and the arguments without it."""
    kwargs = {key: value for key, value in kwargs.items() if key != "non_blocking"} | {}
    device = kwargs.pop("device", None)
    if func is Tensor.cpu:
        device = "cpu"
    elif func in MOVES:
        found = [each for each in args[1:] if isinstance(each, torch.device | str)]
        found += [GPU] if func is Tensor.cuda else []
        device = found[0] if found else device
        args = [each for each in args if not isinstance(each, torch.device | str)]
    return (None if device is None else torch.device(device).type), args, kwargs


@contextmanager
def pretended_gpu() -> Iterator[Places]:
    """Inside `with`, tensors can be moved to "cuda"."""
    places = Places()
    with Operations(places), Functions(places):
        yield places
