# SPDX-License-Identifier: Apache-2.0
"""What pickles of this package's objects call. Python functions, which a pickle names; compiled ones it would have to evaluate."""

from typing import Any

from . import _core


def config(*parts: Any) -> _core.ModelConfig:
    return _core._config(*parts)


def model(*parts: Any) -> _core.Model:
    return _core._model(*parts)


def state(*parts: Any) -> _core.State:
    return _core._state(*parts)


def tokenizer(*parts: Any) -> _core.Tokenizer:
    return _core._tokenizer(*parts)
