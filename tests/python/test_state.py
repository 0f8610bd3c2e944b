# SPDX-License-Identifier: Apache-2.0
"""State: forked, saved, sent, looked into, refused."""

import copy
import gc
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import rwkvcpp

TOKENS = [817, 584, 270, 382]


@pytest.fixture
def state(demo):
    state = demo.new_state()
    demo.forward(TOKENS, state)
    return state


def next_logits(demo, state):
    return demo.forward(5, state.copy())


@pytest.mark.parametrize("way", ["copy", "copy.copy", "copy.deepcopy", "pickle", "list", "file"])
def test_a_copy_of_any_kind_is_equal_and_goes_its_own_way(way, demo, state, tmp_path):
    state.save(tmp_path / "state")
    fork = {
        "copy": state.copy,
        "copy.copy": lambda: copy.copy(state),
        "copy.deepcopy": lambda: copy.deepcopy([state])[0],
        "pickle": lambda: pickle.loads(pickle.dumps(state)),
        "list": lambda: rwkvcpp.State.from_list(state.to_list(), demo),
        "file": lambda: rwkvcpp.State.load(tmp_path / "state", demo),
    }[way]()
    assert fork == state
    assert fork.tokens_seen == (0 if way == "list" else 4)
    assert (next_logits(demo, fork) == next_logits(demo, state)).all()
    demo.forward(5, fork)
    assert fork != state
    assert state.tokens_seen == 4


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_names_functions_of_the_package(protocol, state):
    sent = pickle.dumps(state, protocol)
    assert b"rwkvcpp._pickle" in sent
    assert b"eval" not in sent
    assert pickle.loads(sent) == state


def test_another_process_goes_on_with_a_pickled_state(demo, state, tmp_path):
    (tmp_path / "state").write_bytes(pickle.dumps(state))
    code = f"""
import pickle, rwkvcpp
state = pickle.load(open({str(tmp_path / "state")!r}, "rb"))   # before any model is loaded
print(rwkvcpp.load_demo("cpu fp32").forward(5, state).tolist())
"""
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert np.abs(np.array(json.loads(there.stdout), np.float32) - next_logits(demo, state)).max() < 1e-5  # sums in another order


@pytest.mark.parametrize("name", ["v4", "v4-att96", "v5.0", "v5.1", "v5.2", "v6", "v7"])
def test_the_list_is_the_references(name, data):
    folder = data / "models"
    file = (folder / f"random-{name}.golden.safetensors").read_bytes()
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    model = rwkvcpp.Model(folder / f"random-{name}", "cpu fp32")
    state = model.new_state()
    model.forward(json.loads((folder / f"random-{name}.golden.json").read_text())["tokens"], state)
    arrays = state.to_list()
    assert len(arrays) == sum(key.startswith("state.") for key in header) == len(state)
    for i, array in enumerate(arrays):
        begin, end = header[f"state.{i}"]["data_offsets"]
        expected = np.frombuffer(file[start + begin : start + end], np.float32).reshape(header[f"state.{i}"]["shape"])
        assert array.shape == expected.shape
        assert np.abs(array - expected).max() < 2e-5 * max(1e-6, np.abs(expected).max())  # of float64: docs/numerics.md


def test_elements_are_views_that_outlive_the_state(demo, state):
    views = [*state]
    assert [view.shape for view in views] == [state[name].shape for name in state.names]
    views[1][0, 0, 0] = 7
    assert state["blocks.0.S"][0, 0, 0] == 7
    assert np.shares_memory(state[1], views[1])
    before = [view.copy() for view in views]
    demo.forward(5, state)
    assert (views[0] != before[0]).any()  # advanced in place
    kept = [view.copy() for view in views]
    state.close()
    del state
    gc.collect()
    demo.new_state(), demo.new_state()
    assert all((view == copy).all() for view, copy in zip(views, kept, strict=True))
    views[0][:] = 1


def test_to_list_gives_copies(state):
    state.to_list()[0][:] = 9
    assert (state[0] != 9).any()


def test_an_element_is_replaced_by_numbers_of_its_shape(state):
    state[-1] = np.arange(192, dtype=np.float64)
    assert (state["blocks.3.ffn_x"] == np.arange(192)).all()
    with pytest.raises(rwkvcpp.StateError, match=r"blocks.0.S: expected shape \[3, 64, 64\], found \[64\]"):
        state[1] = np.zeros(64)
    with pytest.raises(TypeError, match="numbers"):
        state[1] = "zeros"
    with pytest.raises(IndexError, match="12 arrays"):
        state[12]
    with pytest.raises(KeyError, match="blocks.9.S"):
        state["blocks.9.S"]
    with pytest.raises(TypeError):
        state[1.5]


def test_a_list_of_other_shapes_is_refused(demo, state):
    arrays = state.to_list()
    for wrong in ([], arrays[:-1], [*arrays, arrays[0]], [arrays[1], arrays[0], *arrays[2:]]):
        with pytest.raises(rwkvcpp.StateError, match="expected"):
            rwkvcpp.State.from_list(wrong, demo)


def test_a_list_may_be_anything_that_holds_arrays(demo, state):
    assert rwkvcpp.State.from_list(state, demo) == state
    assert rwkvcpp.State.from_list([array.tolist() for array in state], demo) == state
    assert rwkvcpp.State.from_list([array.astype(np.float64)[...] for array in state], demo) == state
    with pytest.raises(rwkvcpp.StateError, match="found"):
        rwkvcpp.State.from_list(np.zeros((12, 3)), demo)  # its items are made when they are asked for


def test_files_that_are_not_this_models_states_are_refused(demo, state, data, tmp_path):
    file = tmp_path / "state"
    state.save(file)
    with pytest.raises(rwkvcpp.StateError, match="is of RWKV-7, 4 layers.*; this model is RWKV-6"):
        rwkvcpp.State.load(file, rwkvcpp.Model(data / "models/random-v6"))
    whole = file.read_bytes()
    for damaged in (whole[:100], whole[:-1], whole[:-4] + b"\0\0\0\x40", b""):
        file.write_bytes(damaged)
        with pytest.raises(rwkvcpp.StateError):
            rwkvcpp.State.load(file, demo)
    with pytest.raises(FileNotFoundError):
        rwkvcpp.State.load(tmp_path / "none", demo)
    with pytest.raises(rwkvcpp.FileError):
        state.save(tmp_path / "no" / "folder")


def test_one_state_twice_in_a_batch_changes_nothing(demo, state):
    before = state.copy()
    with pytest.raises(rwkvcpp.StateError, match="share"):
        demo.forward_batch([[1], [2]], [state, state])
    assert state == before
    demo.forward(1, state)


def test_equality_is_with_states_only(demo, state):
    assert state != state.to_list()
    assert state != 5
    assert (state == None) is False  # noqa: E711
    assert state != demo.new_state()
    with pytest.raises(TypeError):
        hash(state)


def test_a_closed_state_says_so(demo, state):
    with state:
        assert not state.closed
    assert state.closed
    assert repr(state) == "State(closed)"
    for use in (state.copy, state.to_list, lambda: state[0], lambda: len(state), lambda: demo.forward(1, state)):
        with pytest.raises(rwkvcpp.StateError, match="closed"):
            use()
    state.close()
