# SPDX-License-Identifier: Apache-2.0
"""Strategies "cuda ...": on a card, or on the emulator of tests/cuemu, whose module `cuemu` says what was asked of it."""

import copy
import ctypes
import gc
import json
import os
import pickle
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from dlpack import Managed, Versioned, consume

import rwkvcpp
from rwkvcpp.model import RWKV

try:
    import cuemu
except ImportError:
    cuemu = None

CARD = (2, 0)  # kDLCUDA
SPLIT, STREAMED = "cuda fp32 *1 -> cpu fp32", "cuda fp32 *1+"

# Twice what each is from float64 (tests/cuda/engine/engine.h): logits of size 6, state arrays beside their largest value.
LOGITS, STATE = 1e-4, 2e-4

on_emulator = pytest.mark.skipif(cuemu is None, reason="skipped: what only the emulator can be made to do")


@pytest.fixture(scope="module", autouse=True)
def _card(data):
    try:
        rwkvcpp.Model(data / "models/random-v7", "cuda fp32")
    except rwkvcpp.DeviceError as error:
        if os.environ.get("RWKV_REQUIRE_DEVICE") == "cuda":
            raise
        pytest.skip(f"skipped: CUDA from Python: {error}")


@pytest.fixture(autouse=True)
def _reports():
    yield
    assert not cuemu or cuemu.take_report() == ""


@pytest.fixture(scope="module")
def load(data):
    """Models, each loaded once."""
    loaded = {}

    def get(name, strategy="cuda fp32", **options):
        key = (name, strategy, *options.items())
        if key not in loaded:
            loaded[key] = rwkvcpp.Model(data / "models" / name, strategy, **options)
        return loaded[key]

    return get


@pytest.fixture(scope="module")
def tokens(data):
    return json.loads((data / "models/random-v7.golden.json").read_text())["tokens"][:12]


@pytest.fixture
def model(load):
    return load("random-v7")


@pytest.fixture
def state(model, tokens):
    state = model.new_state()
    model.forward(tokens[:5], state)
    return state


def read(array):
    """What another library sees in a DeviceArray."""
    if cuemu is None:
        torch = pytest.importorskip("torch", reason="skipped: no torch here to read a card's memory")
        return torch.from_dlpack(array).cpu().numpy()
    managed, delete = consume(array.__dlpack__(), Managed)
    tensor, kind = managed.tensor, {16: np.float16, 32: np.float32}[managed.tensor.bits]
    shape = tensor.shape[: tensor.ndim]
    values = np.frombuffer(ctypes.string_at(tensor.data, int(np.prod(shape)) * tensor.bits // 8), kind).reshape(shape)
    delete()
    return values


def assert_close(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() < LOGITS
    assert (found.argmax(axis=-1) == expected.argmax(axis=-1)).all()


def assert_states_close(found, expected):
    for array, other in zip(found.to_list(), expected.to_list(), strict=True):
        assert np.abs(array - other).max() < STATE * max(1e-6, np.abs(other).max())


def fed(model, tokens):
    """Logits after every token, by calls of all kinds; the state."""
    state = model.new_state()
    logits = [model.forward(tokens[:4], state, all_logits=True)]
    logits += [model.forward(token, state)[None] for token in tokens[4:8]]  # the second is recorded, later ones are replayed
    logits += model.forward_batch([tokens[8:11]], [state], all_logits=True)
    logits += [model.forward_batch([tokens[11:]], [state])]
    return np.concatenate(logits), state


# The other pairs: tests/cuda/engine.
@pytest.mark.parametrize(("name", "strategy"), [("random-v4", "cuda fp32"), ("random-v5.2", SPLIT), ("random-v6", STREAMED),
                                                ("random-v7", "cuda fp32")])
def test_logits_and_states_are_those_of_the_cpu(load, tokens, name, strategy):
    logits, state = fed(load(name, strategy), tokens)
    expected, same = fed(load(name, "cpu fp32"), tokens)
    assert_close(logits, expected)
    assert_states_close(state, same)
    assert state.tokens_seen == same.tokens_seen == len(tokens)


@on_emulator  # of two cards
def test_two_cards_share_a_model(load, tokens):
    model = load("random-v7", "cuda fp32 *2 -> cuda:1 fp32")
    logits, state = fed(model, tokens)
    assert_close(logits, fed(load("random-v7", "cpu fp32"), tokens)[0])
    assert [array.device for array in state] == ["cuda:0"] * 6 + ["cuda:1"] * 3
    assert state[-1].__dlpack_device__() == (2, 1)
    assert (read(state[-1]) == state.to_list()[-1]).all()


@pytest.mark.parametrize("strategy", ["cuda fp32", SPLIT])
def test_a_text_goes_on_from_a_file_on_another_device(load, tokens, tmp_path, strategy):
    there, here = load("random-v7", strategy), load("random-v7", "cpu fp32")
    state, file = there.new_state(), tmp_path / "state"
    there.forward(tokens[:5], state)
    for model in (here, there, here):
        state.save(file)
        moved = rwkvcpp.State.load(file, model)
        assert moved == state
        model.forward(tokens[5:8], moved)
        state = moved
    alone = here.new_state()
    here.forward(tokens[:5] + tokens[5:8] * 3, alone)
    assert_states_close(state, alone)
    assert state.tokens_seen == alone.tokens_seen


def test_copies_go_their_own_way_and_pickles_come_back_in_host_memory(load, model, state, tokens):
    fork, sent = state.copy(), pickle.loads(pickle.dumps(state))
    assert fork == sent == state
    assert isinstance(sent[0], np.ndarray)
    with pytest.raises(rwkvcpp.StateError, match=r"lies on cpu.*needs it on cuda:0.*save\(\)"):
        model.forward(1, sent)
    assert_close(load("random-v7", "cpu fp32").forward(tokens[5], sent), model.forward(tokens[5], fork))
    assert fork != state
    assert rwkvcpp.State.from_list(state.to_list(), model) == state


def test_arrays_of_a_state_are_the_memory_of_the_card(model, state, tokens):
    arrays, values = state.device_arrays(), state.to_list()
    assert len(arrays) == len(state) == len(values)
    for array, own, value in zip(arrays, state, values, strict=True):
        assert isinstance(own, rwkvcpp.DeviceArray)
        assert (array.shape, array.dtype, array.device) == (value.shape, value.dtype, "cuda:0")
        assert repr(array) == f"DeviceArray(shape={value.shape}, dtype=float32, device=cuda:0)"
        assert array.__dlpack_device__() == own.__dlpack_device__() == CARD
        assert (read(array) == value).all()
    model.forward(tokens[5], state)
    assert (read(arrays[0]) != values[0]).any()  # advanced in place
    assert all((read(array) == value).all() for array, value in zip(arrays, state.to_list(), strict=True))


def test_a_split_state_is_arrays_of_both_devices(load):
    state = load("random-v7", SPLIT).new_state()
    assert [type(array) for array in state] == [rwkvcpp.DeviceArray] * 3 + [np.ndarray] * 6
    assert [array.device for array in state.device_arrays()] == ["cuda:0"] * 3 + ["cpu"] * 6


@pytest.mark.parametrize(("kind", "version"), [(Managed, None), (Versioned, (1, 0))])
def test_capsules_name_the_card(state, kind, version):
    array = state["blocks.1.S"]
    managed, delete = consume(array.__dlpack__(max_version=version), kind)
    tensor = managed.tensor
    assert (tensor.device_type, tensor.device_id) == CARD
    assert (tensor.code, tensor.bits, tensor.lanes) == (2, 32, 1)  # kDLFloat
    assert (tensor.shape[: tensor.ndim], tensor.strides[: tensor.ndim]) == ([2, 32, 32], [1024, 32, 1])
    delete()


def test_arguments_of_dlpack_are_those_of_a_card(state):
    array = state[0]
    for stream in (None, -1, 1, 2, 0x7F0012345678):
        array.__dlpack__(stream=stream, dl_device=CARD)
    for stream in (0, -2):
        with pytest.raises(rwkvcpp.ArgumentError, match="stream"):
            array.__dlpack__(stream=stream)
    for other in ((1, 0), (2, 1)):
        with pytest.raises(BufferError, match="on cuda:0 and stays there"):
            array.__dlpack__(dl_device=other)
    with pytest.raises((BufferError, RuntimeError)):  # NumPy's, which is for memory of the CPU
        np.from_dlpack(array)


@pytest.mark.parametrize("strategy", ["cuda fp32", "cpu fp32 *1 -> cuda fp32"])
def test_logits_stay_on_the_card_that_has_the_head(load, tokens, strategy):
    model = load("random-v7", strategy)
    state, same = model.new_state(), model.new_state()
    for part, all_logits in ((tokens[:5], True), (tokens[5], False), (tokens[6], False), (tokens[7], False)):
        found = model.forward(part, state, all_logits, on_device=True)
        assert (found.device, found.__dlpack_device__()) == ("cuda:0", CARD)
        assert (read(found) == model.forward(part, same, all_logits)).all()
    texts = [tokens[:3], tokens[3:4]]
    rows = model.forward_batch(texts, all_logits=True, on_device=True)
    for array, expected in zip(rows, model.forward_batch(texts, all_logits=True), strict=True):
        assert (read(array) == expected).all()
    assert load("random-v7", SPLIT).forward(tokens, on_device=True).device == "cpu"


def test_tokens_are_drawn_on_the_card_as_sample_draws_them(model, tokens):
    options = [{"seed": 1}, {"temperature": 0}, {"temperature": 1.5, "top_p": 1, "token_ban": [3, 50], "seed": 3}]
    drawing, same = ([rwkvcpp.Sampler(**o) for o in options] for _ in range(2))
    states = [model.new_state() for _ in options]
    copies = [state.copy() for state in states]
    texts = [tokens[:4], tokens[4:5], tokens[:2]]
    for _ in range(4):
        logits = model.forward_batch(texts, copies)
        expected = [sampler.sample(row) for sampler, row in zip(same, logits, strict=True)]
        texts = model.forward_batch(texts, states, samplers=drawing)
        assert texts == expected
        for sampler, other, token in zip(drawing, same, texts, strict=True):
            sampler.accept(token)
            other.accept(token)
    assert states == copies


def test_broken_logits_leave_the_tokens_of_the_others(model, tokens):
    states = [model.new_state() for _ in range(3)]
    states[1][0] = np.full(64, np.nan)
    samplers = [rwkvcpp.Sampler(temperature=0), rwkvcpp.Sampler(), None]
    with pytest.raises(rwkvcpp.NumericError, match="sequence 1: the logit of token 0 is NaN") as caught:
        model.forward_batch([tokens[:2]] * 3, states, samplers=samplers)
    assert caught.value.tokens == [int(model.forward(tokens[:2]).argmax()), None, None]


def test_the_pipeline_gives_the_text_of_the_cpu():
    card, cpu = (rwkvcpp.Pipeline(rwkvcpp.load_demo(strategy)) for strategy in ("cuda fp32", "cpu fp32"))
    assert card.generate("Once", 3, temperature=0) == cpu.generate("Once", 3, temperature=0) != ""


def test_states_in_half_the_memory(load, tokens):
    half, whole = (load("random-v7", fp16_state=fp16) for fp16 in (True, False))
    state = half.new_state()
    assert whole.new_state().nbytes - state.nbytes == 3 * 2 * 32 * 32 * 2
    assert_close(half.forward(tokens[:1], state), whole.forward(tokens[:1]))  # S is rounded after the call
    arrays = state.to_list()
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    assert [array.dtype for array in state][:3] == [np.float32, np.float16, np.float32]
    assert all((read(a) == b).all() for a, b in zip(state, arrays, strict=True))
    state[1] = np.full((2, 32, 32), 1 / 3)
    assert (state.to_list()[1] == np.float16(1 / 3)).all()
    assert pickle.loads(pickle.dumps(half)).new_state().nbytes == state.nbytes


def test_what_is_not_there_is_named(data):
    for wrong, error, text in [
        ({"strategy": "cuda:7 fp32"}, rwkvcpp.DeviceError, "cuda:7, but: there (is only cuda:0|are only cuda:0 to cuda:)"),
        ({"strategy": "cpu fp32", "fp16_state": True}, rwkvcpp.ArgumentError, "fp16_state"),
        ({"strategy": "cuda fp61"}, rwkvcpp.StrategyError, 'unknown type "fp61" at column 6'),
        ({"strategy": "cuda i4"}, rwkvcpp.StrategyError, r"unknown type \"i4\" at column 6; use fp32.*\(add i8 or i4"),
        ({"strategy": "cuda:-1 fp16"}, rwkvcpp.StrategyError, 'bad device number "-1" at column 6; use cuda:0'),
        ({"strategy": "cuda:999999999999 fp16"}, rwkvcpp.StrategyError, "too large at column 6; use cuda:0"),
        ({"strategy": "cuda fp16 *-1"}, rwkvcpp.StrategyError, r"bad number of layers \"-1\" at column 12; use \*N"),
    ]:
        with pytest.raises(error, match=text):
            rwkvcpp.Model(data / "models/random-v7", **wrong)


def test_odd_counts_of_layers_are_placed_as_the_grammar_says(load, tokens):
    expected = load("random-v7").forward(tokens)
    for strategy, placement in [
        ("cuda fp32 *0", "cuda fp32: blocks 0-2, head"),  # what is left goes to the last part
        ("cuda fp32 *2+ -> cuda fp32 *1+", "cuda fp32: blocks 0-2\ncuda fp32 streamed: head"),
        ("cuda fp32 *2147483647", "cuda fp32: blocks 0-2, head"),
    ]:
        model = rwkvcpp.Model(load("random-v7").path, strategy)
        assert model.placement.partition("\n")[2] == placement
        assert_close(model.forward(tokens), expected)


def test_wrong_calls_say_what_is_wrong_and_change_nothing(load, model, state, tokens):
    before, expected, n_vocab = state.copy(), model.forward(tokens[5], state.copy()), model.config.n_vocab
    for call, error, text in [
        (lambda: model.forward([], state), rwkvcpp.TokenError, "has no tokens"),
        (lambda: model.forward([1, n_vocab], state), rwkvcpp.TokenError, f"token {n_vocab} at position 1.*0 to {n_vocab - 1}"),
        (lambda: model.forward(-1, state), rwkvcpp.TokenError, "token -1 at position 0"),
        (lambda: model.forward(2**40, state), rwkvcpp.TokenError, "outside the vocabulary"),
        (lambda: model.forward_batch([[1], []], [state, state.copy()]), rwkvcpp.TokenError, "has no tokens"),
        (lambda: model.forward_batch([[1], [2]], [state, state]), rwkvcpp.StateError, "share one state"),
        (lambda: model.forward(1, load("random-v6").new_state()), rwkvcpp.StateError, r"another model \(RWKV-6.*is RWKV-7"),
        (lambda: model.forward(1, load("random-v7", fp16_state=True).new_state()), rwkvcpp.StateError, r"in fp16.*save\(\)"),
        (lambda: rwkvcpp.State.from_list(state.to_list()[:3], model), rwkvcpp.StateError, "expected 9 arrays, found 3"),
        (lambda: rwkvcpp.State.from_list(list(state), model), TypeError, r"DeviceArray.*to_list\(\)"),
        (lambda: rwkvcpp.Sampler().sample(model.forward(1, on_device=True)), TypeError, "DeviceArray.*on_device"),
    ]:
        with pytest.raises(error, match=text):
            call()
        assert state == before, text
    for nothing in (model.forward_batch([]), model.forward_batch([], on_device=True)):
        assert nothing.shape == (0, n_vocab)
    assert (model.forward(tokens[5], state) == expected).all()


def test_broken_numbers_in_a_state_stay_its_own(model, state, tokens, tmp_path):
    broken, expected = state.copy(), model.forward(tokens[5], state.copy())
    for value in (np.nan, np.inf):
        broken["blocks.0.S"] = np.full((2, 32, 32), value)
        assert np.isnan(model.forward_batch([[tokens[5]]] * 2, [broken, state.copy()])).all(axis=1).tolist() == [True, False]
        broken.save(tmp_path / "state")
        with pytest.raises(rwkvcpp.StateError, match="blocks.0.* holds"):
            rwkvcpp.State.load(tmp_path / "state", model)
    for name, values in zip(state.names, state.to_list(), strict=True):
        broken[name] = values
    assert (model.forward(tokens[5], broken) == expected).all()


# Elements of a state are copies there, which are written back.
@pytest.mark.parametrize(("name", "strategy"), [("random-v4", "cuda fp32"), ("random-v6", SPLIT), ("random-v7", "cuda fp32")])
def test_scripts_for_the_package_need_another_strategy_only(data, tokens, name, strategy):
    def script(strategy):
        model = RWKV(str(data / "models" / name), strategy, verbose=False)
        _, state = model.forward(tokens[:4], None)
        state[1][:] = state[1] * 0.5
        saved, as_list = copy.deepcopy(state), list(state)
        out, state = model.forward(tokens[4], state)
        same, from_list = model.forward(tokens[4], as_list)
        assert (out == same).all()
        assert all((np.asarray(a) == b).all() for a, b in zip(from_list, state, strict=True))
        sent = pickle.loads(pickle.dumps(saved))
        assert sent == saved != state
        return np.stack([out, model.forward(tokens[5], state)[0], model.forward(tokens[4], list(sent))[0]])

    assert_close(script(strategy), script("cpu fp32"))


@on_emulator
def test_too_little_memory_names_what_fits(data):
    """In a process of its own, which has nothing on the card yet."""
    code = f"""
import re, cuemu, rwkvcpp
path = {str(data / "models/random-v7")!r}
for limit in range(72 << 20, 0, -(128 << 10)):
    cuemu.limit_memory(limit)
    try:
        rwkvcpp.Model(path, "cuda fp32")
    except MemoryError as error:
        assert isinstance(error, rwkvcpp.OutOfMemoryError)
        named = re.findall('"(cuda [^"]*)"', str(error))
        print(str(error), len(named))
        for strategy in named:
            rwkvcpp.Model(path, strategy).forward([1, 2])
        break
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"MiB are free: \d of 3 blocks fit; use \"cuda fp32 .* [1-9]$", done.stdout.strip()), done.stdout


@on_emulator
def test_memory_that_runs_out_later_harms_nothing(model, state, tokens):
    before = state.copy()
    cuemu.limit_allocations(0)
    try:
        for allocate in (model.new_state, state.copy, lambda: model.forward(1, state, on_device=True)):
            with pytest.raises(MemoryError, match="cuda:0: out of memory allocating"):
                allocate()
    finally:
        cuemu.limit_allocations(1 << 40)
    assert state == before
    model.forward(tokens[5], state)


def test_an_array_is_replaced_alone(state):
    others, before = state.device_arrays(), state.to_list()
    values = np.arange(64, dtype=np.float64) / 8
    traffic = cuemu and np.array(cuemu.traffic())
    state["blocks.1.ffn_x"] = values
    if cuemu:
        assert (cuemu.traffic() - traffic == (1, 0, 1)).all()
    before[5] = values
    assert all((read(array) == value).all() for array, value in zip(others, before, strict=True))
    with pytest.raises(rwkvcpp.StateError, match=r"blocks.0.S: expected shape \[2, 32, 32\], found \[64\]"):
        state[1] = values
    with pytest.raises(IndexError, match="9 arrays"):
        state[9] = values
    with pytest.raises(KeyError, match="blocks.3.S"):
        state["blocks.3.S"] = values
    assert all((read(array) == value).all() for array, value in zip(others, before, strict=True))


@on_emulator
def test_what_a_state_is_asks_nothing_of_the_card(model, state):
    other = model.new_state()  # its upload, in the same stream, is not waited for
    before = cuemu.traffic()
    assert (len(state), state.names[1], state.tokens_seen) == (9, "blocks.0.S", 5)
    assert repr(state) == f"State(RWKV-7, 9 arrays, {state.nbytes} bytes, 5 tokens seen)"
    assert model.memory.state == state.nbytes
    assert cuemu.traffic() == before
    del other


@on_emulator
def test_memory_goes_with_the_last_who_has_it(data):
    gc.collect()
    before = cuemu.leaks()
    model = rwkvcpp.Model(data / "models/random-v7", "cuda fp32")
    state = model.new_state()
    logits, array, capsule = model.forward([1, 2], state, on_device=True), state[1], state[2].__dlpack__()
    managed, delete = consume(state[0].__dlpack__(max_version=(1, 0)), Versioned)
    expected = state.to_list()
    model.close()
    state.close()
    assert cuemu.leaks() != before
    assert (read(array) == expected[1]).all()
    del array, logits, capsule
    assert cuemu.leaks() != before
    assert managed.tensor.shape[0] == 64
    delete()
    del state, model
    gc.collect()
    assert cuemu.leaks() == before


def test_threads_share_a_model_and_get_what_one_gets(model, tokens):
    def work(i):
        state = model.new_state()
        return np.stack([model.forward(part, state) for part in (tokens[i : i + 3], tokens[i], tokens[i + 1])])

    with ThreadPoolExecutor(3) as pool:
        for i, logits in enumerate(pool.map(work, range(3))):
            assert (logits == work(i)).all()


def test_a_long_call_lets_other_threads_run_and_keeps_its_state(model, tokens):
    state, count = model.new_state(), 0
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(model.forward, tokens * 6, state)
        while not future.done():
            count += 1
            try:
                state[0] = np.zeros(64)
            except rwkvcpp.StateError:
                pass
            time.sleep(0.001)
        future.result()
    assert count > 5 or cuemu is None  # a card may be done by then
    assert state.tokens_seen == 6 * len(tokens)
