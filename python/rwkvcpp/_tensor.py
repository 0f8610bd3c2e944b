# SPDX-License-Identifier: Apache-2.0
"""Tensor: a NumPy array for scripts that were written for torch tensors.

PyTorch is never imported here. Where a script has imported it, torch's functions and methods work on a Tensor.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

# Keywords that only torch's version of a method has.
_TORCH_WORDS = frozenset({"dim", "keepdim", "descending"})


def torch_module() -> Any:
    """PyTorch if the script has imported it, else None.

    >>> torch_module() is sys.modules.get("torch")
    True
    """
    return sys.modules.get("torch")


def is_torch(value: object) -> bool:
    """Whether `value` is a torch tensor.

    >>> is_torch(np.zeros(3))
    False
    """
    torch = torch_module()
    return torch is not None and isinstance(value, torch.Tensor)


def floats(values: Any) -> npt.NDArray[np.float32]:
    """`values` as a plain float32 array: a list, an array, a Tensor, or a torch tensor of any float type and device.

    >>> floats([1, 2]).dtype
    dtype('float32')
    """
    if is_torch(values):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=np.float32)


def to_torch(value: Any) -> Any:
    """`value` with every Tensor in it, also inside lists, tuples and dicts, as a torch tensor in the same memory.

    >>> to_torch(["no tensor", 1])
    ['no tensor', 1]
    """
    if isinstance(value, Tensor):
        array = np.asarray(value)
        if not array.flags.writeable or any(stride < 0 for stride in array.strides):
            array = array.copy()
        return torch_module().from_numpy(array)
    if type(value) in (list, tuple):
        return type(value)(to_torch(item) for item in value)
    if type(value) is dict:
        return {key: to_torch(item) for key, item in value.items()}
    return value


class CpuDevice(str):
    """The device of a Tensor in scripts without PyTorch: the text "cpu" with torch's attributes.

    >>> CpuDevice("cpu").type
    'cpu'
    """

    __slots__ = ()
    index = None  # type: ignore[assignment]

    @property
    def type(self) -> str:
        return str(self)


class Size(int):
    """A number of elements that, as in torch, can also be called: size() is the shape, size(0) its first number.

    >>> Tensor([[1, 2, 3]]).size, Tensor([[1, 2, 3]]).size(1), Tensor([[1, 2, 3]]).size()
    (3, 3, (1, 3))
    """

    _shape: tuple[int, ...]

    def __call__(self, dim: int | None = None) -> Any:
        return self._shape if dim is None else self._shape[dim]


class Tensor(np.ndarray[Any, np.dtype[Any]]):
    """Logits or one array of a state: a float32 NumPy array with the methods that scripts call on torch tensors.

    A method that only torch has works when the script has imported torch, in the same memory, and returns torch tensors.
    A method that both have is NumPy's unless it is called in torch's way (`dim=`, `descending=`, `transpose(0, 1)`,
    `view(2, 3)`, `size(0)`). Elements are NumPy scalars.

    >>> out = Tensor([0.5, 1.5])
    >>> out[0] -= 1
    >>> out.detach().cpu().numpy()
    array([-0.5,  1.5], dtype=float32)
    >>> int(out.argmax()), out.clone().tolist(), out.device.type
    (1, [-0.5, 1.5], 'cpu')
    """

    requires_grad = False
    is_cuda = False
    grad = None

    def __new__(cls, values: Any) -> Tensor:
        return np.array(values.detach().cpu() if is_torch(values) else values, dtype=np.float32).view(cls)

    # ---- What a script does to take a tensor out of torch

    def numpy(self) -> npt.NDArray[Any]:
        """A plain array in the same memory."""
        return np.asarray(self)

    def detach(self) -> Any:
        """The same values in the same memory."""
        return self[...]

    def cpu(self) -> Tensor:
        """Itself."""
        return self

    def float(self) -> Any:
        """Itself, or a copy in float32 if it has another type."""
        return self.astype(np.float32, copy=False)

    def clone(self) -> Tensor:
        """A copy."""
        copied: Tensor = self.copy()
        return copied

    def contiguous(self) -> Tensor:
        """Itself, or a copy in C order if it is not."""
        return self if self.is_contiguous() else self.copy()

    def is_contiguous(self) -> bool:
        """Whether its elements lie in C order."""
        return self.flags.c_contiguous

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Itself: there are no gradients here."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Itself for "cpu", float32 and the like; another device or type is PyTorch's to make, if it is imported."""
        asked = [*args, *(kwargs[key] for key in ("device", "dtype") if key in kwargs)]
        if all(_is_here(item) for item in asked):
            return self.clone() if kwargs.get("copy") else self
        return self._torch_method("to")(*args, **kwargs)

    @property
    def device(self) -> Any:
        """torch.device("cpu") if torch is imported, else a text "cpu" with `type` and `index`."""
        torch = torch_module()
        return CpuDevice("cpu") if torch is None else torch.device("cpu")

    # ---- Shapes

    @property
    def size(self) -> Size:
        """The number of elements; called as in torch, the shape."""
        size = Size(super().size)
        size._shape = self.shape
        return size

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return int(super().size)

    def view(self, *shape: Any, **kwargs: Any) -> Any:
        """torch's view for integers, NumPy's for types."""
        if shape and not kwargs and all(isinstance(n, (int, tuple, list)) for n in shape):
            return self.reshape(*shape)
        return super().view(*shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """torch's, a swap, for two integers; else NumPy's."""
        if len(axes) == 2 and all(isinstance(axis, int) for axis in axes):
            return self.swapaxes(*axes)
        return super().transpose(*axes)

    def t(self) -> Tensor:
        """Of a matrix, the transposed."""
        transposed: Tensor = self.T
        return transposed

    def permute(self, *axes: Any) -> Any:
        """NumPy's transpose."""
        return super().transpose(*axes)

    def unsqueeze(self, dim: int) -> Any:
        """With one more dimension, of size 1."""
        return np.expand_dims(self, dim)

    # ---- In place

    def copy_(self, values: Any) -> Tensor:
        """Takes over the values of an array or torch tensor."""
        self[...] = floats(values)
        return self

    def fill_(self, value: Any) -> Tensor:
        """Sets every element."""
        self[...] = value
        return self

    def zero_(self) -> Tensor:
        """Sets every element to 0."""
        return self.fill_(0)

    # ---- PyTorch, if the script uses it

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called by torch's functions: runs them on torch tensors in the same memory."""
        return func(*to_torch(tuple(args)), **to_torch(dict(kwargs or {})))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"'Tensor' object has no attribute '{name}'")
        return self._torch_method(name)

    def _torch_method(self, name: str) -> Any:
        torch = torch_module()
        if torch is None:
            raise AttributeError(
                f"Tensor.{name}, called like this, is PyTorch's; a Tensor of rwkvcpp is a NumPy array: "
                "use NumPy, or import torch in the script, then torch's functions and methods work on it"
            )
        if not hasattr(torch.Tensor, name):
            raise AttributeError(f"Tensor.{name}: neither NumPy arrays nor torch tensors have this")
        return getattr(to_torch(self), name)


def _is_here(asked: Any) -> bool:
    """Whether a device or type, as given to Tensor.to(), is that of every Tensor."""
    if isinstance(asked, bool) or asked is None:  # non_blocking
        return True
    return str(asked) in ("cpu", "torch.float32", "float32") or asked is np.float32


def _either(name: str) -> Any:
    """A method of both libraries: torch's when called with a keyword of torch's, else NumPy's."""
    of_numpy = getattr(np.ndarray, name)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        if _TORCH_WORDS.isdisjoint(kwargs):
            return of_numpy(self, *args, **kwargs)
        return self._torch_method(name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"torch's {name} when called with dim=, keepdim= or descending=, else NumPy's."
    return method


for _name in "all any argmax argmin argsort cumprod cumsum max mean min prod sort squeeze std sum var".split():
    setattr(Tensor, _name, _either(_name))
