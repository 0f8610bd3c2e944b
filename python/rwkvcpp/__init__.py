# SPDX-License-Identifier: Apache-2.0
"""Inference for RWKV language models, versions 4 to 7, without PyTorch.

>>> import rwkvcpp
>>> pipeline = rwkvcpp.Pipeline(rwkvcpp.load_demo())
>>> pipeline.generate("User: What is 7 plus 8?\\n\\nAssistant:", stop="\\n\\n", temperature=0)
' 7 plus 8 is 15.'
"""

from pathlib import Path

from ._core import (
    CheckpointInfo,
    DeviceArray,
    Memory,
    Model,
    ModelConfig,
    Pipeline,
    Sampler,
    State,
    Stream,
    StreamDecoder,
    Tokenizer,
    __version__,
    inspect,
    refine_context,
    sampling_distribution,
)
from .errors import (
    ArgumentError,
    CheckpointError,
    DeviceError,
    FileError,
    MissingFileError,
    NumericError,
    OutOfMemoryError,
    RwkvError,
    StateError,
    StrategyError,
    TokenError,
    TokenizerError,
)

__all__ = [
    "DEMO_MODEL",
    "ArgumentError",
    "CheckpointError",
    "CheckpointInfo",
    "DeviceArray",
    "DeviceError",
    "FileError",
    "Memory",
    "MissingFileError",
    "Model",
    "ModelConfig",
    "NumericError",
    "OutOfMemoryError",
    "Pipeline",
    "RwkvError",
    "Sampler",
    "State",
    "StateError",
    "StrategyError",
    "Stream",
    "StreamDecoder",
    "TokenError",
    "Tokenizer",
    "TokenizerError",
    "__version__",
    "inspect",
    "load_demo",
    "refine_context",
    "sampling_distribution",
]

#: The bundled model: RWKV-7, 2.4 million parameters, with its vocabulary inside. It knows a small world of stories.
DEMO_MODEL = Path(__file__).parent / "demo.safetensors"


def load_demo(strategy: str = "auto") -> Model:
    """Loads the bundled model.

    >>> load_demo().config.version
    7
    """
    return Model(DEMO_MODEL, strategy)
