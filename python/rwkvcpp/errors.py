# SPDX-License-Identifier: Apache-2.0
"""The exceptions of rwkvcpp. Each message names the file, tensor or argument, what was expected and what was found."""


class RwkvError(Exception):
    """Base of everything this package raises on purpose."""


class FileError(RwkvError, OSError):
    """The operating system refused: no permission, disk full. `errno` says why."""

    def __str__(self) -> str:
        return str(self.strerror)


class MissingFileError(FileError, FileNotFoundError):
    """A file is not there."""


class CheckpointError(RwkvError):
    """A file is not a checkpoint, is damaged, or holds a model that cannot be run."""


class StrategyError(RwkvError, ValueError):
    """A strategy string cannot be parsed or does not fit the model."""


class DeviceError(RwkvError):
    """A device is missing or failed."""


class OutOfMemoryError(RwkvError, MemoryError):
    """Host or device memory ran out."""


class TokenError(RwkvError, ValueError):
    """A token is outside the vocabulary, or there is none."""


class StateError(RwkvError):
    """A state is of another model, damaged, or in use by another call."""


class TokenizerError(RwkvError):
    """A vocabulary file is missing or malformed."""


class ArgumentError(RwkvError, ValueError):
    """An argument is outside its range; the message names both."""


class NumericError(RwkvError, ArithmeticError):
    """NaN or infinity where a finite number is needed.

    `tokens`, of Model.forward_batch() with samplers: what the texts drew; None: nothing, or its logits are broken.
    """

    tokens: list[int | None] | None = None
