# SPDX-License-Identifier: Apache-2.0
"""DeviceArray: states and logits taken by other libraries without a copy, by DLPack. On a CPU; test_cuda.py has the card's."""

import gc

import numpy as np
import pytest
from dlpack import Managed, Versioned, consume

import rwkvcpp

TOKENS = [817, 584, 270, 382]
CPU = (1, 0)  # kDLCPU


@pytest.fixture
def state(demo):
    state = demo.new_state()
    demo.forward(TOKENS, state)
    return state


def test_arrays_of_a_state_are_the_state(demo, state):
    arrays = state.device_arrays()
    views = [np.from_dlpack(array) for array in arrays]
    assert len(arrays) == len(state)
    for array, view, own in zip(arrays, views, state, strict=True):
        assert (array.shape, array.dtype, array.device) == (own.shape, own.dtype, "cpu")
        assert (view == own).all()
        assert np.shares_memory(view, own)
    before = views[0].copy()
    demo.forward(5, state)
    assert (views[0] != before).any()  # advanced in place
    state[0][:] = 7
    assert (views[0] == 7).all()


def test_writing_to_an_array_changes_the_state(state):
    view = np.from_dlpack(state.device_arrays()[1])
    if not view.flags.writeable:
        pytest.skip("skipped: this NumPy takes all arrays as read-only")
    view[0, 1, 2] = 7
    assert state["blocks.0.S"][0, 1, 2] == 7


def test_memory_stays_as_long_as_an_array_of_it(demo, state):
    expected = state[0].copy()
    array = state.device_arrays()[0]
    view = np.from_dlpack(array)
    state.close()
    del state, array
    gc.collect()
    states = [demo.new_state() for _ in range(3)]  # would take memory that is free
    assert (view == expected).all()
    del states


@pytest.mark.parametrize("tokens", [TOKENS, 5, list(range(700))])
def test_logits_on_their_device_are_those_of_forward(demo, tokens):
    state, same = demo.new_state(), demo.new_state()
    for all_logits in (False, True):
        found = demo.forward(tokens, state, all_logits, on_device=True)
        expected = demo.forward(tokens, same, all_logits)
        assert (found.shape, found.dtype, found.device) == (expected.shape, np.float32, "cpu")
        assert (np.from_dlpack(found) == expected).all()
    assert state == same


def test_a_batch_is_one_array_or_one_for_each_text(demo):
    texts = [TOKENS, [5], list(range(40))]
    last, expected = demo.forward_batch(texts, on_device=True), demo.forward_batch(texts)
    assert (np.from_dlpack(last) == expected).all()
    every = demo.forward_batch(texts, all_logits=True, on_device=True)
    assert [array.shape for array in every] == [(4, 1024), (1, 1024), (40, 1024)]
    for array, rows in zip(every, demo.forward_batch(texts, all_logits=True), strict=True):
        assert (np.from_dlpack(array) == rows).all()
    view = np.from_dlpack(every[2])
    kept = view.copy()
    del every, array
    gc.collect()
    assert (view == kept).all()
    assert demo.forward_batch([], on_device=True).shape == (0, 1024)
    with pytest.raises(rwkvcpp.ArgumentError, match="on_device"):
        demo.forward_batch([[1]], samplers=[rwkvcpp.Sampler()], on_device=True)


@pytest.mark.parametrize(("kind", "version"), [(Managed, None), (Managed, (0, 8)), (Versioned, (1, 0)), (Versioned, (2, 3))])
def test_capsules_have_what_the_specification_says(state, kind, version):
    array = state.device_arrays()[1]
    capsule = array.__dlpack__(max_version=version)
    managed, delete = consume(capsule, kind)
    tensor = managed.tensor
    assert (tensor.data, tensor.byte_offset) == (state[1].ctypes.data, 0)
    assert (tensor.device_type, tensor.device_id) == array.__dlpack_device__() == CPU
    assert (tensor.code, tensor.bits, tensor.lanes) == (2, 32, 1)  # kDLFloat
    assert (tensor.shape[: tensor.ndim], tensor.strides[: tensor.ndim]) == ([3, 64, 64], [4096, 64, 1])
    if kind is Versioned:
        assert (managed.major, managed.flags) == (1, 0)
    del capsule  # it has given the tensor away
    gc.collect()
    assert tensor.shape[: tensor.ndim] == [3, 64, 64]
    delete()


@pytest.mark.parametrize(("kind", "version"), [(Managed, None), (Versioned, (1, 0))])
def test_memory_goes_once_whether_a_capsule_is_taken_or_not(demo, kind, version):
    """A model's worth of logits each: what stayed would be seen, and what went twice would end the process."""
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    tokens = list(range(1000))  # 4 MB of logits
    for n in range(60):
        capsule = demo.forward(tokens[: 500 if n % 2 else 1000], all_logits=True, on_device=True).__dlpack__(max_version=version)
        if n % 3:
            _, delete = consume(capsule, kind)
            delete()
        del capsule
        if n == 10:
            before = resident()
    assert resident() - before < 40 << 20  # of 150 MB


def test_arguments_of_dlpack_are_checked(state):
    array = state.device_arrays()[0]
    assert (np.from_dlpack(array) == state[0]).all()
    array.__dlpack__(stream=None, dl_device=CPU, copy=False)
    with pytest.raises(rwkvcpp.ArgumentError, match="stream"):
        array.__dlpack__(stream=1)
    with pytest.raises(BufferError, match="cpu"):
        array.__dlpack__(dl_device=(2, 0))
    with pytest.raises(BufferError, match="copy"):
        array.__dlpack__(copy=True)
    for wrong in ({"stream": "a"}, {"max_version": 1}, {"dl_device": (1,)}):
        with pytest.raises(TypeError):
            array.__dlpack__(**wrong)
    with pytest.raises(TypeError):
        array.__dlpack__(None)


def test_torch_shares_the_memory(demo, state):
    torch = pytest.importorskip("torch", reason="skipped: no torch here")
    tensor = torch.from_dlpack(state.device_arrays()[1])
    tensor[0, 1, 2] = 7
    assert state["blocks.0.S"][0, 1, 2] == 7
    logits = torch.from_dlpack(demo.forward(TOKENS, on_device=True))
    assert int(logits.argmax()) == int(demo.forward(TOKENS).argmax())
