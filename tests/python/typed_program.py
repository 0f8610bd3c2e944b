# SPDX-License-Identifier: Apache-2.0
"""A program with every public name, for type checkers: mypy --strict. Also run, by test_types.py."""

import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

import rwkvcpp
from rwkvcpp.model import RWKV
from rwkvcpp.utils import PIPELINE, PIPELINE_ARGS

Logits = npt.NDArray[np.float32]


def show(done: int, total: int) -> None:
    assert done <= total


def models(folder: Path) -> rwkvcpp.Model:
    info: rwkvcpp.CheckpointInfo = rwkvcpp.inspect(rwkvcpp.DEMO_MODEL)
    names: list[str] = info.unused_tensors
    assert not names and info.parameters > 0 and info.bytes > 0 and info.has_tokenizer and info.format and info.type
    model = rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", threads=1, progress=show, head_norm_eps=None, fp16_state=False)
    config: rwkvcpp.ModelConfig = model.config
    sizes: tuple[int, ...] = (config.version, config.minor, config.n_layer, config.n_embd, config.n_att, config.n_ffn)
    sizes += (config.n_vocab, config.n_head, config.head_size)
    memory: rwkvcpp.Memory = model.memory
    assert all(n >= 0 for n in sizes) and config.head_norm_eps > 0 and memory.weights > memory.state
    assert model.path and model.strategy == "cpu fp32" and model.placement and model.unused_tensors == [] and not model.closed
    with rwkvcpp.load_demo() as other:
        assert other.config == config
    return model


def states(model: rwkvcpp.Model, folder: Path) -> None:
    state: rwkvcpp.State = model.new_state()
    last: Logits = model.forward([1, 2, 3], state)
    every: Logits = model.forward(np.arange(3, dtype=np.uint16), all_logits=True)
    batch: Logits = model.forward_batch([[1], (2, 3), range(4)], [state, None, None])
    rows: list[Logits] = model.forward_batch([[1], [2, 3]], all_logits=True)
    assert last.ndim == 1 and every.ndim == batch.ndim == rows[1].ndim == 2
    drawn: list[int] = model.forward_batch([[1], [2, 3]], samplers=[rwkvcpp.Sampler(), rwkvcpp.Sampler()])
    some: list[int | None] = model.forward_batch([[1], [2, 3]], [None, None], samplers=[rwkvcpp.Sampler(), None])
    broken: list[int | None] | None = rwkvcpp.NumericError().tokens
    assert len(drawn) == len(some) == 2 and broken is None
    state.save(folder / "state")
    same = rwkvcpp.State.load(folder / "state", model)
    arrays: list[Logits] = same.to_list()
    assert rwkvcpp.State.from_list(arrays, model) == state == copy.deepcopy(state) == state.copy()
    first: Logits = state[0]
    located: list[rwkvcpp.DeviceArray] = state.device_arrays()
    one: rwkvcpp.DeviceArray = model.forward(1, on_device=True)
    together: rwkvcpp.DeviceArray = model.forward_batch([[1], [2, 3]], on_device=True)
    apart: list[rwkvcpp.DeviceArray] = model.forward_batch([[1], [2, 3]], all_logits=True, on_device=True)
    shapes: list[tuple[int, ...]] = [array.shape for array in (*located, one, together, *apart)]
    taken = np.from_dlpack(one)
    assert shapes[0] == first.shape and one.device == "cpu" and one.dtype == taken.dtype
    state["blocks.0.att_x"] = np.zeros_like(first)
    assert len(state) == len(state.names) and state.nbytes > 0 and state.tokens_seen == 4 and len([*state]) > 0
    with state as open_state:
        assert not open_state.closed


def texts(model: rwkvcpp.Model) -> None:
    tokenizer: rwkvcpp.Tokenizer = rwkvcpp.Tokenizer.for_model(model)
    tokens: list[int] = tokenizer.encode("Once upon a time") + rwkvcpp.Tokenizer("bytes").encode(b"\xff")
    text: str = tokenizer.decode(tokens, errors="replace")
    exact: bytes = tokenizer.decode_bytes(tuple(tokens))
    decoder: rwkvcpp.StreamDecoder = tokenizer.stream_decoder()
    assert text and exact and tokenizer.kind and tokenizer.source and len(tokenizer) > 256
    assert isinstance(decoder.push(tokens[0]) + decoder.flush(), str)

    sampler = rwkvcpp.Sampler(temperature=0.5, top_p=0.9, top_k=5, min_p=0.01, token_ban=[0], seed=1)
    token: int = sampler.sample(model.forward(tokens))
    sampler.accept(token, counts=True)
    sampler.reset()
    chances: Logits = rwkvcpp.sampling_distribution([0.0, 1.0], temperature=1.0, top_p=1.0, top_k=0, min_p=0.0)
    assert chances.size == 2

    pipeline = rwkvcpp.Pipeline(model, tokenizer)
    state = pipeline.model.new_state()
    logits: Logits = pipeline.read(rwkvcpp.refine_context("Once"), state, chunk_len=16)
    answer: str = pipeline.generate("upon", 4, state=state, temperature=0, stop=["\n\n"], token_stop=0)
    assert logits.size and isinstance(answer, str) and pipeline.tokenizer.kind
    with pipeline.stream("Once", 4, seed=1, stop="\n\n") as stream:
        pieces: list[str] = list(stream)
        assert "".join(pieces) == stream.text and stream.reason in ("max_tokens", "token", "string", None)
        assert stream.fed_tokens <= len(stream.tokens) and stream.prompt_tokens and stream.stop == "" and stream.state


def errors() -> None:
    kinds: list[type[rwkvcpp.RwkvError]] = [
        rwkvcpp.ArgumentError,
        rwkvcpp.CheckpointError,
        rwkvcpp.DeviceError,
        rwkvcpp.FileError,
        rwkvcpp.MissingFileError,
        rwkvcpp.NumericError,
        rwkvcpp.OutOfMemoryError,
        rwkvcpp.StateError,
        rwkvcpp.StrategyError,
        rwkvcpp.TokenError,
        rwkvcpp.TokenizerError,
    ]
    assert len(kinds) == 11 and rwkvcpp.__version__


def drop_in() -> None:
    model = RWKV(model=str(rwkvcpp.DEMO_MODEL), strategy="cpu fp32", verbose=False)
    out, state = model.forward([1, 2, 3], None)
    out, state = model.forward(4, state, full_output=False)
    pipeline = PIPELINE(model, "rwkv_vocab_v20230424")
    token: int = pipeline.sample_logits(out, temperature=1.0, top_p=0.5)
    args = PIPELINE_ARGS(top_p=0.5, token_stop=[0])
    text: str = pipeline.generate("Once", token_count=4, args=args, callback=print, state=state)
    assert isinstance(text, str) and pipeline.decode([token]) is not None


def main(folder: Path) -> None:
    model = models(folder)
    states(model, folder)
    texts(model)
    errors()
    drop_in()


if __name__ == "__main__":
    main(Path("."))
