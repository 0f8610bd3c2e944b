# SPDX-License-Identifier: Apache-2.0
"""rwkvcpp.model.RWKV against the golden files and the package's rules of forward(), and our scripts as they would be run."""

import copy
import doctest
import importlib
import importlib.util
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rwkvcpp
from rwkvcpp.model import RWKV, StateList

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "tests/data/models"
TINY = REPOSITORY.parent / "shared/models"
SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
VERSIONS = {"random-v4": 4, "random-v5.0": 5, "random-v5.1": 5.1, "random-v5.2": 5.2, "random-v6": 6, "random-v7": 7}
TOLERANCE = 1e-4  # of float32 logits


def load(name):
    return RWKV(str(MODELS / name), "cpu fp32", verbose=False)


def golden(name):
    data = (MODELS / f"{name}.golden.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for key, info in json.loads(data[8:start]).items():
        if key != "__metadata__":
            begin, end = info["data_offsets"]
            tensors[key] = np.frombuffer(data[start + begin : start + end], np.float32).reshape(info["shape"])
    return json.loads((MODELS / f"{name}.golden.json").read_text())["tokens"], tensors


@pytest.fixture(scope="module", params=VERSIONS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return load(name)


@pytest.fixture(scope="module")
def demo():
    return RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)


@pytest.fixture
def torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("skipped: PyTorch is not installed")
    import torch

    return torch


def arrays(state):
    return [np.array(element) for element in state]


def equal(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


def test_logits_and_state_are_the_golden_ones(name, model):
    tokens, expected = golden(name)
    out, state = model.forward(tokens, None, full_output=True)
    assert np.abs(out - expected["logits"]).max() < TOLERANCE
    assert (out.argmax(axis=-1) == expected["logits"].argmax(axis=-1)).all()
    for i, element in enumerate(state):
        assert element.shape == expected[f"state.{i}"].shape
        assert np.allclose(element, expected[f"state.{i}"], rtol=1e-4, atol=TOLERANCE)


def test_one_by_one_and_at_once_are_the_same(name, model):
    tokens, _ = golden(name)
    at_once, _ = model.forward(tokens, None, full_output=True)
    state = None
    for token, expected in zip(tokens, at_once):
        out, state = model.forward([token], state)
        # Relative to the largest logit (6 here), as float32 rounds: 6e-6 for 5.1, which amplifies it, 2e-6 for the others.
        assert np.abs(out - expected).max() < 1e-5 * np.abs(at_once).max()


def test_attributes_that_scripts_read(name, model):
    sizes = json.loads((MODELS / f"{name}.golden.json").read_text())
    assert model.version == VERSIONS[name] and model.args.vocab_size == sizes["n_vocab"]
    assert (model.n_layer, model.n_embd) == (model.args.n_layer, model.args.n_embd) == (sizes["n_layer"], sizes["n_embd"])
    assert model.args.n_att == sizes["n_att"] and model.args.strategy_string == "cpu fp32"
    assert model.args.MODEL_NAME.endswith(name) and model.eval() is model
    if model.version > 4:
        assert (model.n_head, model.head_size) == (sizes["n_head"], sizes["head_size"])
    zero = model.generate_zero_state()
    assert [list(element.shape) for element in zero] == sizes["state_shapes"]


def test_who_changes_the_state_passed_in(name, model):
    _, state = model.forward([1, 2], None)
    before, snapshot = arrays(state), state[:]
    _, after = model.forward([3], state)
    assert equal(snapshot, before), "elements handed out are never written to"
    if model.version < 7:
        assert after is state and not equal(arrays(state), before)
    else:
        assert after is not state and equal(arrays(state), before) and not equal(arrays(after), before)


def test_plain_lists_are_states_too(name, model):
    out, state = model.forward([1, 2], None)
    plain = [element.clone() for element in state]
    old = list(plain)
    before = arrays(plain)
    expected, expected_state = model.forward([3], copy.deepcopy(state))
    out, after = model.forward([3], plain)
    assert np.array_equal(out, expected) and equal(arrays(after), arrays(expected_state)) and equal(old, before)
    if model.version < 7:
        assert after is plain and equal(arrays(plain), arrays(expected_state))
    else:
        assert equal(plain, before) and isinstance(after, StateList)
    for form in (tuple(before), [element.astype(np.float64) for element in before], [element.tolist() for element in before]):
        assert np.array_equal(model.forward([3], form)[0], expected)


def test_changes_to_elements_count_at_the_next_forward(name, model):
    _, state = model.forward([1, 2], None)
    changed, other = copy.deepcopy(state), copy.deepcopy(state)
    changed[0][:] = 0.25
    other[0] = np.full(other[0].shape, 0.25)
    plain = arrays(state)
    plain[0][:] = 0.25
    expected = model.forward([3], plain)[0]
    assert not np.array_equal(model.forward([3], copy.deepcopy(state))[0], expected)
    assert np.array_equal(model.forward([3], changed)[0], expected)
    assert np.array_equal(model.forward([3], other)[0], expected)


def test_an_element_of_before_forward_is_no_longer_the_state(model):
    _, state = model.forward([1, 2], None)
    held = state[0]
    _, state = model.forward([3], state)
    expected = model.forward([4], copy.deepcopy(state))[0]
    held[:] = 100
    assert np.array_equal(model.forward([4], state)[0], expected)


def test_a_state_behaves_as_a_list(demo):
    _, state = demo.forward([1, 2], None)
    assert (state == None) is False and state != [] and (state is None) is False  # noqa: E711
    assert len(state) == 3 * demo.n_layer and len(state[1:4]) == 3 and state[-1].shape == (demo.n_embd,)
    assert copy.deepcopy(state) == state and copy.copy(state) == state and pickle.loads(pickle.dumps(state)) == state
    state[0:2] = [state[0] * 2, state[1] * 2]
    assert copy.deepcopy(state) == state and equal(list(reversed(state))[::-1], list(state))
    for change in (lambda: state.append(1), lambda: state.pop(), lambda: state.__setitem__(slice(0, 2), [1])):
        with pytest.raises(rwkvcpp.StateError, match=f"has {len(state)} elements; this would make it"):
            change()
    with pytest.raises(IndexError, match="there is no element 99"):
        state[99]


def test_passing_the_state_on_makes_no_arrays_of_it(demo):
    _, state = demo.forward([1, 2], None)
    for _ in range(3):
        _, state = demo.forward([3], state)
        assert state._touched == {}


@pytest.mark.parametrize("make", [list, tuple, np.array, lambda t: np.array(t, np.uint16), lambda t: [np.int64(i) for i in t]])
def test_any_sequence_of_tokens(demo, make):
    tokens = [5, 6, 7]
    assert np.array_equal(demo.forward(make(tokens), None)[0], demo.forward(tokens, None)[0])


def test_one_token_gives_one_row(demo):
    vocabulary = demo.args.vocab_size
    for token in (5, [5], np.int64(5), np.array(5), np.array([5])):
        out, _ = demo.forward(token, None, full_output=True)
        assert out.shape == (vocabulary,)
    assert demo.forward([5, 6], None, full_output=True)[0].shape == (2, vocabulary)
    assert np.array_equal(demo([5], None)[0], demo.forward([5], None)[0])


@pytest.mark.parametrize("tokens", [[], (), np.array([], np.int64), None])
def test_no_token_is_refused_with_advice(demo, tokens):
    with pytest.raises(rwkvcpp.TokenError, match="pass the token that was sampled"):
        demo.forward(tokens, None)


@pytest.mark.parametrize("token", [-1, 10**6])
def test_tokens_outside_the_vocabulary_are_refused_and_the_state_stays(model, token):
    _, state = model.forward([1], None)
    before = arrays(state)
    with pytest.raises(rwkvcpp.TokenError, match=f"token {token} .*outside the vocabulary"):
        model.forward([2, token], state)
    assert equal(arrays(state), before)


def test_a_wrong_state_is_refused_by_name(demo):
    state = demo.generate_zero_state()
    shape = re.escape(str(state[1].shape))
    for wrong in ([element[:1] if i == 1 else element for i, element in enumerate(state)],):
        with pytest.raises(rwkvcpp.StateError, match=rf"blocks\.0\.S: expected shape {shape}, found \(1, "):
            demo.forward([1], wrong)
    with pytest.raises(rwkvcpp.StateError, match=r"blocks\.0\.S: expected .* found \(3,\)"):
        state[1] = np.zeros(3)
    with pytest.raises(rwkvcpp.StateError, match=f"has {len(state)} elements, found 2"):
        demo.forward([1], list(state)[:2])
    with pytest.raises(rwkvcpp.StateError, match="found None"):
        demo.forward([1], [None] * len(state))
    with pytest.raises(rwkvcpp.StateError, match="list of arrays"):
        demo.forward([1], 7)


def test_the_engine_state_is_accepted_and_advance_changes_any_state(demo):
    state = demo.engine.new_state()
    demo.engine.forward([1, 2], state)
    expected, _ = demo.forward([1, 2, 3], None)
    out, after = demo.forward([3], state)
    assert np.allclose(out, expected, atol=TOLERANCE) and state.tokens_seen == 2 and after.engine.tokens_seen == 3
    mine = StateList(state.copy())
    assert np.array_equal(demo.advance([3], mine), out) and mine == after and mine.engine.tokens_seen == 3


def test_weights_and_conversion_say_what_to_do_instead(demo):
    for name in "wz":
        with pytest.raises(AttributeError, match="weights are not exposed.*read the checkpoint"):
            getattr(demo, name)
    with pytest.raises(rwkvcpp.ArgumentError, match=r"rwkv-convert m\.pth out\.pth"):
        RWKV("m.pth", "cpu fp32", convert_and_save_and_exit="out.pth")


def test_strategy_has_an_entry_for_every_layer_and_the_head():
    model = RWKV(str(MODELS / "random-v6"), "cpu fp32 *1 -> cpu bf16 *1 -> cpu fp32i8 *1 -> cpu fp32i4", verbose=False)
    assert [layer.kind for layer in model.strategy] == ["fp32", "bf16", "fp32i8", "fp32i4"]
    assert {layer.device for layer in model.strategy} == {"cpu"} and not any(layer.stream for layer in model.strategy)
    if "torch" not in sys.modules:
        assert model.strategy[0].atype == model.strategy[0].wtype == np.float32
        assert model.strategy[2].wtype == model.strategy[3].wtype == np.uint8


def test_verbose_prints_to_stdout_and_quiet_does_not(capsys):
    RWKV(str(MODELS / "random-v4"), "cpu fp32")
    printed = capsys.readouterr().out
    assert "random-v4" in printed and "RWKV-4" in printed and printed.count("\n") == 2
    load("random-v4")
    assert capsys.readouterr().out == ""


def test_the_environment_is_not_read(monkeypatch):
    tokens, expected = golden("random-v7")
    for variable in ("RWKV_V7_ON", "RWKV_CUDA_ON", "RWKV_RESCALE_LAYER", "RWKV_DE_VERSION"):
        monkeypatch.setenv(variable, "nonsense")
    assert np.abs(load("random-v7").forward(tokens, None)[0] - expected["logits"][-1]).max() < TOLERANCE


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_torch_tokens_and_states(torch, kind):
    for name in VERSIONS:
        model = load(name)
        _, state = model.forward(torch.tensor([1, 2]), None)
        tensors = [torch.tensor(element).to(getattr(torch, kind)) for element in state]
        rounded = [tensor.float().numpy() for tensor in tensors]
        expected, _ = model.forward([3], rounded)
        assert np.array_equal(model.forward(torch.tensor(3), tensors)[0], expected)
    assert model.strategy[0].atype == torch.float32


def run(script, model, strategy="cpu fp32"):
    text = re.sub(r"(?m)^from rwkv\.(model|utils) import", r"from rwkvcpp.\1 import", script.read_text())
    assert "rwkvcpp" in text
    package = str(Path(rwkvcpp.__file__).parents[1])
    prepare = f"import sys, warnings; sys.path.insert(0, {package!r})\n"
    done = subprocess.run([sys.executable, "-c", prepare + text, str(model), strategy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["demo", "tiny-rwkv-4v0.pth", "tiny-rwkv-5v1.pth", "tiny-rwkv-5v2.pth", "tiny-rwkv-7v0.pth"])
def test_scripts_run_with_only_the_import_changed(script, name):
    if "import torch" in script.read_text() and importlib.util.find_spec("torch") is None:
        pytest.skip("skipped: PyTorch is not installed")
    if name != "demo" and not (TINY / name).exists():
        pytest.skip(f"skipped: {name} is not here")
    done = run(script, rwkvcpp.DEMO_MODEL if name == "demo" else TINY / name)
    facts = re.findall(r": (True|False)\b", done.stdout)
    assert len(facts) >= 2 and "False" not in facts, done.stdout
    assert ("bytes instead" in done.stderr) == (name != "demo" and "PIPELINE" in script.read_text())


def test_scripts_run_in_other_types():
    done = run(Path(__file__).parent / "scripts/states.py", rwkvcpp.DEMO_MODEL, "cpu bf16")
    assert "False" not in done.stdout


@pytest.mark.parametrize("module", ["_tensor", "model", "utils", "__main__"])
def test_examples_of_the_docstrings(module, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    result = doctest.testmod(importlib.import_module(f"rwkvcpp.{module}"))
    assert result.attempted > 0 and result.failed == 0, capsys.readouterr().out


class OnCard:
    """A state whose elements are as those on a card: no NumPy arrays."""

    def __init__(self, state):
        self.state = state

    def __getattr__(self, name):
        return getattr(self.state, name)

    def __len__(self):
        return len(self.state)

    def __getitem__(self, i):
        return self.state.device_arrays()[i]

    def __setitem__(self, i, values):
        self.state[i] = values


def test_elements_on_a_card_are_copies_that_are_written_back(demo):
    state = demo.forward([817, 584, 270], None)[1].engine
    before = state.copy()
    elements = StateList(OnCard(state))
    assert all((np.asarray(element) == own).all() for element, own in zip(elements, before, strict=True))
    elements[1][0, 1, 2] = 7
    assert state == before  # a copy
    assert elements.engine.state["blocks.0.S"][0, 1, 2] == 7
    before[1][0, 1, 2] = 7
    assert state == before
