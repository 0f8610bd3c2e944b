# SPDX-License-Identifier: Apache-2.0
"""Model: golden logits of every version through every way to feed tokens, loading, closing, sending."""

import array
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import rwkvcpp

VERSIONS = ["v4", "v4-att96", "v5.0", "v5.1", "v5.2", "v6", "v6-h64-bf16", "v7", "v7-f16", "v7-h64-bf16"]
GOLDEN = 5e-5  # of float64 logits: docs/numerics.md
SAME = 1e-5  # between two orders of float32 sums; version 5.1 amplifies it to 3e-5
TOKENS = [817, 584, 270, 382, 5, 6, 7]


class Golden:
    """A model with its float64 results."""

    def __init__(self, folder, name):
        data = (folder / f"random-{name}.golden.safetensors").read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for key, info in json.loads(data[8:start]).items():
            if key == "logits":
                begin, end = info["data_offsets"]
                self.logits = np.frombuffer(data[start + begin : start + end], np.float32).reshape(info["shape"])
        self.tokens = json.loads((folder / f"random-{name}.golden.json").read_text())["tokens"]
        self.model = rwkvcpp.Model(folder / f"random-{name}", "cpu fp32")


@pytest.fixture(scope="module", params=VERSIONS)
def golden(request, data):
    return Golden(data / "models", request.param)


def difference(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def test_golden_logits_all_at_once(golden):
    logits = golden.model.forward(golden.tokens, all_logits=True)
    assert logits.dtype == np.float32
    assert logits.shape == golden.logits.shape == (len(golden.tokens), golden.model.config.n_vocab)
    assert difference(logits, golden.logits) < GOLDEN
    assert (logits.argmax(1) == golden.logits.argmax(1)).all()


def test_golden_logits_one_by_one(golden):
    state = golden.model.new_state()
    logits = [golden.model.forward(token, state) for token in golden.tokens]
    assert difference(logits, golden.logits) < GOLDEN
    assert state.tokens_seen == len(golden.tokens)


def test_golden_logits_in_uneven_pieces(golden):
    state, at = golden.model.new_state(), 0
    for size in (1, 5, 2, len(golden.tokens)):
        piece = golden.tokens[at : at + size]
        at += len(piece)
        assert difference(golden.model.forward(piece, state), golden.logits[at - 1]) < GOLDEN


def test_a_ragged_batch_gives_the_golden_logits_of_each(golden):
    sizes = [3, 1, len(golden.tokens), 7]
    states = [golden.model.new_state(), None, golden.model.new_state(), golden.model.new_state()]
    texts = [golden.tokens[:size] for size in sizes]
    every = golden.model.forward_batch(texts, all_logits=True)
    last = golden.model.forward_batch(texts, states)
    assert last.shape == (4, golden.model.config.n_vocab)
    for size, rows, row, state in zip(sizes, every, last, states, strict=True):
        assert difference(rows, golden.logits[:size]) < GOLDEN
        assert difference(row, golden.logits[size - 1]) < GOLDEN
        assert state is None or state.tokens_seen == size


def test_an_empty_batch_is_an_empty_result(demo):
    assert demo.forward_batch([]).shape == (0, 1024)
    assert demo.forward_batch([], all_logits=True) == []


def test_a_batch_needs_a_state_for_each(demo):
    with pytest.raises(rwkvcpp.ArgumentError, match="2"):
        demo.forward_batch([[1], [2]], [None])


class Sequence:
    def __len__(self):
        return len(TOKENS)

    def __getitem__(self, i):
        return TOKENS[i]


class Tensor:
    """Of a library that NumPy knows nothing about."""

    def __array__(self, dtype=None, copy=None):
        return np.array(TOKENS, dtype)


FORMS = {
    "tuple": tuple(TOKENS),
    "array.array": array.array("l", TOKENS),
    "memoryview": memoryview(array.array("H", TOKENS)),
    "list of NumPy integers": [np.int16(token) for token in TOKENS],
    "sequence": Sequence(),
    "foreign array": Tensor(),
    "strided": np.repeat(np.array(TOKENS), 3)[::3],
    "reversed": np.array(TOKENS[::-1], np.int32)[::-1],
    "column": np.array([TOKENS, TOKENS]).T[:, 0],
    "read-only": np.frombuffer(np.array(TOKENS).tobytes(), np.int64),
} | {name: np.array(TOKENS, name) for name in ("int16", "uint16", "int32", "uint32", "int64", "uint64", "longlong", ">u2", ">i8")}


@pytest.mark.parametrize("form", FORMS)
def test_tokens_may_come_as(form, demo):
    assert (demo.forward(FORMS[form]) == demo.forward(TOKENS)).all()


@pytest.mark.parametrize("one", [7, np.int8(7), np.uint64(7), np.array(7), [7], (7,), range(7, 8), b"\x07", bytearray(b"\x07")])
def test_one_token_may_come_as(one, demo):
    assert (demo.forward(one) == demo.forward(7)).all()


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_bytes_are_tokens_of_byte_models(kind, demo):
    assert (demo.forward(np.array([1, 2, 100], kind)) == demo.forward([1, 2, 100])).all()
    assert (demo.forward(b"\x01\x02\x64") == demo.forward([1, 2, 100])).all()


@pytest.mark.parametrize("other", ["text", 1.5, [1.5], {1}, {1: 2}, np.array([1.0]), np.array([[1]]), np.array(["a"]), object(), np.datetime64("2020"), np.timedelta64(5), True])
def test_other_tokens_are_refused_by_type(other, demo):
    if other is True:
        assert (demo.forward(True) == demo.forward(1)).all()  # an int, as everywhere in Python
        return
    with pytest.raises(TypeError, match="tokens|integer"):
        demo.forward(other)


def test_the_model_describes_itself(demo):
    assert (demo.config.version, demo.config.n_layer, demo.config.n_embd, demo.config.n_vocab) == (7, 4, 192, 1024)
    assert demo.memory.weights == 2 * rwkvcpp.load_demo("cpu fp16").memory.weights - 4 * sum_of_vectors()
    assert demo.memory.state == demo.new_state().nbytes == 4 * 4 * (192 + 3 * 64 * 64 + 192)
    assert "blocks 0-3, head" in demo.placement
    assert "RWKV-7" in repr(demo)
    assert demo.unused_tensors == []


def sum_of_vectors():
    """Numbers that stay float32 in fp16."""
    return 2 * rwkvcpp.load_demo("cpu fp16").memory.weights // 4 - rwkvcpp.inspect(rwkvcpp.DEMO_MODEL).parameters


@pytest.mark.parametrize(("strategy", "tolerance"), [("cpu fp16", 0.02), ("cpu bf16", 0.15), ("cpu fp32i8", 0.5)])
def test_smaller_weights_give_nearly_the_same_logits(demo, strategy, tolerance):
    """The bundled model is stored in fp16: those weights are exact, and so are its logits up to the order of sums."""
    logits = rwkvcpp.load_demo(strategy).forward(TOKENS)
    assert difference(logits, demo.forward(TOKENS)) < (SAME * 10 if strategy == "cpu fp16" else tolerance)


def test_the_number_of_threads_does_not_change_the_logits():
    one, two = (rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", threads=n) for n in (1, 2))
    assert difference(one.forward(TOKENS), two.forward(TOKENS)) < SAME
    for threads in (-1, 10**6):
        with pytest.raises(rwkvcpp.ArgumentError, match=f"threads is {threads}; it must be 0 "):
            rwkvcpp.Model(rwkvcpp.DEMO_MODEL, threads=threads)


def test_progress_rises_to_the_whole_file():
    calls = []
    rwkvcpp.Model(rwkvcpp.DEMO_MODEL, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1] > 4_000_000
    assert len({total for _, total in calls}) == 1


def test_an_exception_in_progress_ends_the_loading():
    class Enough(Exception):
        pass

    def progress(done, total):
        raise Enough

    with pytest.raises(Enough):
        rwkvcpp.Model(rwkvcpp.DEMO_MODEL, progress=progress)
    with pytest.raises(TypeError, match="progress"):
        rwkvcpp.Model(rwkvcpp.DEMO_MODEL, progress=5)


@pytest.mark.parametrize("tqdm", [True, False])
def test_a_bar_is_drawn_if_tqdm_is_there(tqdm):
    code = "import sys\n" + ("" if tqdm else "sys.modules['tqdm'] = sys.modules['tqdm.auto'] = None\n")
    code += "import rwkvcpp; rwkvcpp.Model(rwkvcpp.DEMO_MODEL, progress=True); print('loaded')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "loaded\n"
    assert ("100%" in result.stderr) == tqdm, result.stderr


def test_closing_frees_the_weights_and_leaves_states():
    with rwkvcpp.load_demo() as model:
        state = model.new_state()
        model.forward(1, state)
    assert model.closed
    assert repr(model) == "Model(closed)"
    assert rwkvcpp.load_demo().forward(2, state).shape == (1024,)


def test_closed_models_give_their_memory_back_to_the_system():
    code = """
import os, rwkvcpp
def rss(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
models = [rwkvcpp.load_demo("cpu fp32") for _ in range(12)]
full = rss()
weights = sum(model.memory.weights for model in models)
for model in models: model.close()
print((full - rss()) / weights)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert float(result.stdout) > 0.8  # pages that other objects share stay


def test_a_model_is_sent_as_its_path(demo):
    again = pickle.loads(pickle.dumps(demo))
    assert (again.strategy, again.config) == (demo.strategy, demo.config)
    assert (again.forward(TOKENS) == demo.forward(TOKENS)).all()
