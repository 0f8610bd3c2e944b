# SPDX-License-Identifier: Apache-2.0
"""RWKV with the interface of the `rwkv` package's model.py: change the import, keep the script."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, MutableSequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from ._core import DeviceArray, Model, State
from ._tensor import Tensor, floats, is_torch, torch_module
from .errors import ArgumentError, StateError, TokenError

__all__ = ["RWKV", "StateList"]

_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class StateList(MutableSequence[Any]):
    """A state that looks like the package's list of tensors, in its order.

    An element becomes a Tensor when it is first touched and is written back at the next forward(), so a loop that only passes the
    state on costs nothing. The number of elements is fixed. `engine` is the `rwkvcpp.State` behind it.

    >>> import copy, rwkvcpp
    >>> model = RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)
    >>> out, state = model.forward([10, 11, 12], None)
    >>> snapshot = copy.deepcopy(state)
    >>> state[1][:] = 0
    >>> len(state) == 3 * model.n_layer, snapshot == state
    (True, False)
    """

    __slots__ = ("_engine", "_touched")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, engine: State) -> None:
        self._engine = engine
        self._touched: dict[int, Any] = {}

    @property
    def engine(self) -> State:
        """The state itself, up to date; what is written to it shows here only in elements not touched since the last forward()."""
        for i, values in self._touched.items():
            self._engine[i] = floats(values)
        return self._engine

    def entries_replaced(self) -> None:
        """Forgets the elements handed out, as the package's forward() puts new tensors into the list."""
        self._touched.clear()

    def copy(self) -> StateList:
        """A state of its own.

        >>> import rwkvcpp
        >>> state = RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False).generate_zero_state()
        >>> state.copy() == state
        True
        """
        return StateList(self.engine.copy())

    def __len__(self) -> int:
        return len(self._engine)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = self._position(index)
        if i not in self._touched:
            element = self._engine[i]
            if isinstance(element, DeviceArray):  # on a card: copies, of all at once
                for j, values in enumerate(self._engine.to_list()):
                    self._touched.setdefault(j, Tensor(values))
            else:
                self._touched[i] = Tensor(element)
        return self._touched[i]

    def __setitem__(self, index: Any, values: Any) -> None:
        if isinstance(index, slice):
            positions, values = range(*index.indices(len(self))), list(values)
            if len(positions) != len(values):
                _refuse_length(len(self), len(self) - len(positions) + len(values))
            for i, item in zip(positions, values, strict=True):
                self[i] = item
            return
        i = self._position(index)
        _check_shape(self._engine, i, values)
        self._touched[i] = values

    def __delitem__(self, index: Any) -> NoReturn:
        _refuse_length(len(self), len(self) - 1)

    def insert(self, index: int, value: Any) -> NoReturn:
        """Refused: a state has a fixed number of elements."""
        _refuse_length(len(self), len(self) + 1)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StateList) and self.engine == other.engine

    def __copy__(self) -> StateList:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> StateList:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return StateList, (self.engine,)

    def __repr__(self) -> str:
        return f"StateList({self._engine!r})"

    def _position(self, index: Any) -> int:
        try:
            i: int = range(len(self))[index]
            return i
        except IndexError:
            raise IndexError(f"a state of this model has {len(self)} elements; there is no element {index}") from None


def _refuse_length(expected: int, found: int) -> NoReturn:
    raise StateError(f"a state of this model has {expected} elements; this would make it {found}")


def _check_shape(engine: State, i: int, values: Any) -> None:
    expected, found = engine[i].shape, tuple(np.shape(values) if not hasattr(values, "shape") else values.shape)
    if found != expected:
        raise StateError(f"{engine.names[i]}: expected shape {expected}, found {found}")


@dataclass(frozen=True)
class Placed:
    """Where a layer is and in which types. `atype` and `wtype` are torch's if the script has imported torch, else NumPy's.

    >>> Placed("cpu", "fp16", False).atype
    dtype('float32')
    """

    device: str
    kind: str  # "fp16i8": of the weights
    stream: bool

    @property
    def atype(self) -> Any:
        """The type of activations and states: float32 whatever the weights are."""
        return _dtype("float32")

    @property
    def wtype(self) -> Any:
        """The type of the matrices in memory (i4: two numbers to a byte); without torch, which has one, bfloat16 is a text."""
        return _dtype("uint8" if self.kind.endswith(("i8", "i4")) else _TYPES[self.kind])


def _dtype(name: str) -> Any:
    torch = torch_module()
    if torch is not None:
        return getattr(torch, name)
    return name if name == "bfloat16" else np.dtype(name)


def _placed(placement: str, n_layer: int) -> list[Placed]:
    """One per layer, the head last, from lines like "cpu fp16 streamed: blocks 0-11, head"; the first line is the device's name."""
    layers: list[Placed] = []
    for line in placement.splitlines()[1:]:
        where, _, what = line.rpartition(": ")
        device, kind, *streamed = where.split(" ")
        first, _, last = what.removeprefix("blocks ").removesuffix(", head").partition("-")
        count = (int(last) - int(first) + 1 if last else 0) + what.endswith("head")
        layers += [Placed(device, kind, bool(streamed))] * count
    assert len(layers) == n_layer + 1, placement
    return layers


class RWKV:
    """A model with the interface of the package's class of this name. `engine` is the `rwkvcpp.Model` behind it.

    model: a checkpoint; ".pth" may be left out. strategy: as there, for every version (docs/strategy.md). Nothing has to be set in
    the environment, and nothing there is read: the version is seen in the file.

    >>> import rwkvcpp
    >>> model = RWKV(model=rwkvcpp.DEMO_MODEL, strategy="cpu fp32", verbose=False)
    >>> out, state = model.forward([10, 11], None)
    >>> out, state = model.forward([12], state)
    >>> int(out.argmax()) == int(model.forward([10, 11, 12], None)[0].argmax())
    True
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        strategy: str,
        verbose: bool = True,
        convert_and_save_and_exit: str | None = None,
    ) -> None:
        path = os.fspath(model)
        if convert_and_save_and_exit is not None:
            raise ArgumentError(
                "convert_and_save_and_exit is not needed here: checkpoints load as published and are converted while loading; "
                f"to write a converted file, run: rwkv-convert {path} {convert_and_save_and_exit} --type fp16"
            )
        if verbose:
            print(f"Loading {path} ...", flush=True)
        self.engine = Model(path, strategy)
        config = self.engine.config
        self.version: int | float = config.version if config.minor == 0 else config.version + config.minor / 10
        self.n_layer, self.n_embd = config.n_layer, config.n_embd
        self.n_head, self.head_size = config.n_head, config.head_size
        self.args = SimpleNamespace(
            MODEL_NAME=path,
            strategy_string=strategy,
            n_layer=config.n_layer,
            n_embd=config.n_embd,
            n_att=config.n_att,
            n_ffn=config.n_ffn,
            n_head=config.n_head,
            head_size=config.head_size,
            vocab_size=config.n_vocab,
        )
        self.strategy = _placed(self.engine.placement, config.n_layer)
        if verbose:
            print(f"RWKV-{self.version}, {config.n_layer} layers, on {self.engine.placement.replace(chr(10), '; ')}", flush=True)

    def forward(self, tokens: Any, state: Any, full_output: bool = False) -> tuple[Tensor, Any]:
        """Feeds one token or many; returns the logits after the last, [n_vocab], and the state.

        tokens: an int, or a list, tuple, array or torch tensor of ints. full_output: the logits after every token,
        [tokens, n_vocab], unless there is only one. state: None for the start of a text, what forward() returned, or a list of
        arrays or tensors. As in the package, versions 4 to 6 change the list they get, putting new elements into it, and return it;
        version 7 leaves it as it was and returns a new one.

        >>> import rwkvcpp
        >>> model = RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)
        >>> model.forward([10, 11, 12], None, full_output=True)[0].shape == (3, model.args.vocab_size)
        True
        """
        tokens = _ids(tokens)
        engine = self._engine_state(state)
        in_place = int(self.version) < 7
        if state is None:
            engine = self.engine.new_state()
        elif isinstance(state, (State, StateList)) and not in_place:
            engine = engine.copy()
        logits = self._logits(tokens, engine, full_output)
        if isinstance(state, StateList) and in_place:
            state.entries_replaced()
            return logits, state
        if isinstance(state, list) and in_place:
            state[:] = [values.view(Tensor) for values in engine.to_list()]
            return logits, state
        return logits, StateList(engine)

    def advance(self, tokens: Any, state: StateList) -> Tensor:
        """forward() for a state that nobody else has a use for: changes it, also with version 7, and spares the copy.

        >>> import rwkvcpp
        >>> model = RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)
        >>> state = model.generate_zero_state()
        >>> out = model.advance([10, 11], state)
        >>> state.engine.tokens_seen
        2
        """
        logits = self._logits(_ids(tokens), state.engine, False)
        state.entries_replaced()
        return logits

    def generate_zero_state(self) -> StateList:
        """The state at the start of a text.

        >>> import rwkvcpp
        >>> RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False).generate_zero_state().engine.tokens_seen
        0
        """
        return StateList(self.engine.new_state())

    def eval(self) -> RWKV:
        """Itself: there is no other mode."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        return self.forward(*args, **kwargs)

    @property
    def w(self) -> NoReturn:
        """Not there: the weights lie in the library, in its own layout. Raises AttributeError."""
        _no_weights("w")

    @property
    def z(self) -> NoReturn:
        """Not there, like `w`. Raises AttributeError."""
        _no_weights("z")

    def _engine_state(self, state: Any) -> Any:
        """The engine's state of a StateList (itself) or of a list of arrays (a new one); None stays None."""
        if state is None or isinstance(state, State):
            return state
        if isinstance(state, StateList):
            return state.engine
        if not isinstance(state, Iterable):
            raise StateError(f"a state is a list of arrays, or None; found {type(state).__name__}")
        return _from_arrays(list(state), self.engine)

    def _logits(self, tokens: Any, engine: State, full_output: bool) -> Tensor:
        all_logits = full_output and hasattr(tokens, "__len__") and len(tokens) > 1
        logits: Tensor = self.engine.forward(tokens, engine, all_logits).view(Tensor)
        return logits


def _no_weights(name: str) -> NoReturn:
    raise AttributeError(
        f"model.{name}: the weights are not exposed, they lie in the library in a layout of its own; to look at or change them, "
        "read the checkpoint itself (torch.load or safetensors), write it again and load that"
    )


def _ids(tokens: Any) -> Any:
    if is_torch(tokens):
        tokens = tokens.tolist()
    if isinstance(tokens, np.ndarray) and tokens.ndim == 0:
        tokens = tokens.item()
    if tokens is None or (hasattr(tokens, "__len__") and len(tokens) == 0):
        found = "None" if tokens is None else "none"
        raise TokenError(
            f"forward() needs at least one token, found {found}; to go on with a text, pass the token that was sampled"
        )
    return tokens


def _from_arrays(arrays: list[Any], model: Model) -> State:
    state = model.new_state()
    if len(arrays) != len(state):
        raise StateError(f"a state of this model has {len(state)} elements, found {len(arrays)}")
    for i, values in enumerate(arrays):
        if values is None:
            raise StateError(f"{state.names[i]}: expected an array of shape {state[i].shape}, found None")
        _check_shape(state, i, values)
        state[i] = floats(values)
    return state
