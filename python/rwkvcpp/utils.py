# SPDX-License-Identifier: Apache-2.0
"""PIPELINE with the interface of the `rwkv` package's utils.py: tokenizer, sampling and generation for scripts written for it."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._core import Model, Tokenizer, inspect, refine_context, sampling_distribution
from ._tensor import Tensor, floats
from .errors import ArgumentError
from .model import RWKV, StateList

__all__ = ["PIPELINE", "PIPELINE_ARGS"]

_WORLD = "rwkv_vocab_v20230424"
_UNKNOWN = "\ufffd"


class PIPELINE_ARGS:
    """Options of PIPELINE.generate(), with the package's names, order and defaults. docs/sampling.md says what they mean.

    >>> PIPELINE_ARGS(top_p=0.5).alpha_decay
    0.996
    """

    def __init__(
        self,
        temperature: float = 1.0,
        top_p: float = 0.85,
        top_k: int = 0,
        alpha_frequency: float = 0.2,
        alpha_presence: float = 0.2,
        alpha_decay: float = 0.996,
        token_ban: Sequence[int] | None = None,
        token_stop: Sequence[int] | None = None,
        chunk_len: int = 256,
    ) -> None:
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.alpha_frequency = alpha_frequency
        self.alpha_presence = alpha_presence
        self.alpha_decay = alpha_decay
        self.token_ban = [] if token_ban is None else token_ban
        self.token_stop = [] if token_stop is None else token_stop
        self.chunk_len = chunk_len


class _Occurrence:
    """How often each token was generated, decayed; takes the penalties off the logits."""

    def __init__(self, args: PIPELINE_ARGS) -> None:
        self._args = args
        self._position: dict[int, int] = {}  # of a token in the arrays
        self._tokens = np.empty(64, np.int64)
        self._counts = np.empty(64, np.float64)

    def penalise(self, logits: npt.NDArray[np.float32]) -> None:
        n = len(self._position)
        if n:
            penalties = self._args.alpha_presence + self._counts[:n] * self._args.alpha_frequency
            logits[self._tokens[:n]] -= penalties.astype(np.float32)

    def add(self, token: int, weight: int) -> None:
        n = len(self._position)
        self._counts[:n] *= self._args.alpha_decay
        at = self._position.setdefault(token, n)
        if at == n:
            if n == len(self._tokens):
                self._tokens, self._counts = np.resize(self._tokens, 2 * n), np.resize(self._counts, 2 * n)
            self._tokens[n], self._counts[n] = token, 0
        self._counts[at] += weight


class _TokenBytes(dict[int, bytes]):
    """The bytes of each token, looked up once; none for an id without an entry."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token: int) -> bytes:
        found = self.tokenizer.decode_bytes([token]) if 0 <= token < len(self.tokenizer) else b""
        self[token] = found
        return found


class PIPELINE:
    """Tokenizer, sampling and generation around a model.

    WORD_NAME: "rwkv_vocab_v20230424", a vocabulary file (20B_tokenizer.json and its kind, or World text), or "cl100k_base", which
    needs tiktoken. A vocabulary inside the model's file goes before a name, but not before a file that is there. `tokenizer` may be
    replaced by any object with encode() and decode().

    >>> import rwkvcpp
    >>> pipeline = PIPELINE(RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False), "rwkv_vocab_v20230424")
    >>> pipeline.decode(pipeline.encode("Hello"))
    'Hello'
    >>> args = PIPELINE_ARGS(top_p=0, token_stop=[0])
    >>> text = pipeline.generate("User: What is 7 plus 8?\\n\\nAssistant:", token_count=20, args=args)
    """

    _bytes: _TokenBytes | None = None

    def __init__(self, model: Any, WORD_NAME: str | os.PathLike[str]) -> None:
        self.model = model
        self.tokenizer: Any = _tokenizer(getattr(model, "engine", None), os.fspath(WORD_NAME))

    def refine_context(self, context: str) -> str:
        """The package's clean-up of a prompt: no empty lines, no blanks at the ends of lines, a line break in front.

        >>> PIPELINE.refine_context(None, "a  \\n\\n b")
        '\\na\\nb'
        """
        return refine_context(context)

    def encode(self, x: str) -> list[int]:
        """Token ids of a text.

        >>> import rwkvcpp
        >>> pipeline = PIPELINE(RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False), "rwkv_vocab_v20230424")
        >>> len(pipeline.encode("Once upon a time")) < len("Once upon a time")
        True
        """
        ids: list[int] = getattr(found := self.tokenizer.encode(x), "ids", found)
        return ids

    def decode(self, x: Sequence[int]) -> str:
        """The text of token ids. As in the package: U+FFFD in place of all of it when the bytes are not valid UTF-8, or for an id
        without an entry; with a vocabulary in JSON, U+FFFD in place of the invalid bytes only.

        >>> import rwkvcpp
        >>> pipeline = PIPELINE(RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False), "rwkv_vocab_v20230424")
        >>> pipeline.decode(pipeline.encode("Once")), pipeline.decode([0]) == "\ufffd"
        ('Once', True)
        """
        found = self._bytes_of_tokens()
        if found is None:
            text: str = self.tokenizer.decode(x)
            return text
        parts = [found[int(token)] for token in x]
        try:
            return b"".join(parts).decode() if all(parts) else _UNKNOWN
        except UnicodeDecodeError:
            return _UNKNOWN

    def sample_logits(self, logits: Any, temperature: float = 1.0, top_p: float = 0.85, top_k: int = 0) -> int:
        """A token drawn from logits: a Tensor, an array or a torch tensor [n_vocab]. docs/sampling.md has the rules.

        One number is taken from NumPy's global generator, as in the package: np.random.seed() makes a script repeatable.

        >>> PIPELINE.sample_logits(None, np.array([0.5, 2.5, 1.5]), top_p=0)
        1
        """
        probabilities = sampling_distribution(
            floats(logits), temperature=temperature, top_p=min(max(top_p, 0.0), 1.0), top_k=max(int(top_k), 0)
        )
        tokens = np.flatnonzero(probabilities > 0)
        cumulative = np.cumsum(probabilities[tokens], dtype=np.float64)
        cumulative /= cumulative[-1]
        return int(tokens[np.searchsorted(cumulative, np.random.random_sample(), side="right")])

    def generate(
        self,
        ctx: str,
        token_count: int = 100,
        args: PIPELINE_ARGS | None = None,
        callback: Callable[[str], object] | None = None,
        state: Any = None,
    ) -> str:
        """Goes on with a text; returns what was generated and passes it to callback(text) piece by piece.

        Ends after token_count tokens or at one of args.token_stop. A state of versions 4 to 6 is advanced in place, to in front of
        the last token; one of version 7 stays as it was. An id that has no text (0 in World) is output as nothing; in the package
        it holds back all text after it.

        >>> import rwkvcpp
        >>> pipeline = PIPELINE(RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False), "rwkv_vocab_v20230424")
        >>> pieces = []
        >>> pipeline.generate("Once", 10, callback=pieces.append) == "".join(pieces)
        True
        """
        args = PIPELINE_ARGS() if args is None else args
        if args.chunk_len < 1:
            raise ArgumentError(f"chunk_len is {args.chunk_len}; it must be at least 1")
        occurrence = _Occurrence(args)
        text, held = [], list[int]()
        private = False  # whether the state is one that may be changed
        tokens: Any = self.encode(ctx) if token_count > 0 else []
        if token_count > 0 and len(tokens) == 0:
            raise ArgumentError("ctx has no tokens; generate() needs at least one")
        for _ in range(token_count):
            while len(tokens) > 0:
                out, state, private = self._feed(tokens[: args.chunk_len], state, private)
                tokens = tokens[args.chunk_len :]
            for banned in args.token_ban:
                out[banned] = -np.inf
            occurrence.penalise(out.view(np.ndarray))
            token = self.sample_logits(out, temperature=args.temperature, top_p=args.top_p, top_k=args.top_k)
            if token in args.token_stop:
                break
            occurrence.add(token, 0 if self.decode([token]) in " \t0123456789" else 1)
            if not self._has_no_text(token):
                held.append(token)
            if held and _UNKNOWN not in (piece := self.decode(held)):
                if callback:
                    callback(piece)
                text.append(piece)
                held = []
            tokens = [token]
        return "".join(text)

    def _feed(self, tokens: Any, state: Any, private: bool) -> tuple[Any, Any, bool]:
        """model.forward(), without the copy of the state if that forward() is RWKV's own and has returned the state."""
        forward = self.model.forward
        plain = getattr(forward, "__func__", None) is RWKV.forward
        if plain and private:
            return self.model.advance(tokens, state), state, True
        out, after = forward(tokens, state)
        if not isinstance(out, np.ndarray):
            out = Tensor(out)
        return out, after, plain and isinstance(after, StateList)

    def _bytes_of_tokens(self) -> _TokenBytes | None:
        """None for tokenizers that have a decode() of their own."""
        if not isinstance(self.tokenizer, Tokenizer) or self.tokenizer.kind == "bpe":
            return None
        if self._bytes is None or self._bytes.tokenizer is not self.tokenizer:
            self._bytes = _TokenBytes(self.tokenizer)
        return self._bytes

    def _has_no_text(self, token: int) -> bool:
        found = self._bytes_of_tokens()
        return found is not None and not found[token]


def _tokenizer(engine: Model | None, name: str) -> Any:
    if name == "cl100k_base":
        return _tiktoken(name)
    has_file = os.path.isfile(name)
    if engine is not None and not has_file and inspect(engine.path).has_tokenizer:
        return Tokenizer.for_model(engine)
    file = Path(__file__).with_name(f"{_WORLD}.txt") if name == _WORLD and not has_file else Path(name)
    tokenizer = Tokenizer(file)
    if engine is None or len(tokenizer) <= engine.config.n_vocab:
        return tokenizer
    other = Tokenizer.for_model(engine)
    warnings.warn(
        f"{name} has token ids up to {len(tokenizer) - 1}, but the model has {engine.config.n_vocab} outputs: "
        f"using {other.source} instead",
        stacklevel=3,
    )
    return other


def _tiktoken(name: str) -> Any:
    try:
        tiktoken = importlib.import_module("tiktoken")
    except ImportError:
        raise ImportError(f'the vocabulary "{name}" is tiktoken\'s; install it: pip install tiktoken') from None
    return tiktoken.get_encoding(name)
