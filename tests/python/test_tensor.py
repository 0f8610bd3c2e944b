# SPDX-License-Identifier: Apache-2.0
"""Tensor: what scripts do with torch tensors, without PyTorch and with it."""

import copy
import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pytest

import rwkvcpp
from rwkvcpp._tensor import Tensor, floats, is_torch

VALUES = [[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]]


@pytest.fixture
def matrix():
    return Tensor(VALUES)


@pytest.fixture
def torch():
    if importlib.util.find_spec("torch") is None:
        pytest.skip("skipped: PyTorch is not installed")
    import torch

    yield torch


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_leaves_torch_as_a_plain_array_in_the_same_memory(matrix):
    plain = matrix.detach().cpu().float().contiguous().numpy()
    assert type(plain) is np.ndarray and plain.dtype == np.float32
    plain[0, 0] = 7
    assert matrix[0, 0] == 7


def test_clone_is_apart_and_detach_is_not(matrix):
    cloned, same = matrix.clone(), matrix.detach()
    matrix[0, 0] = 9
    assert cloned[0, 0] == 1 and same[0, 0] == 9 and type(cloned) is type(same) is Tensor


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t)), lambda t: t * 1])
def test_copies_are_tensors_of_their_own(matrix, copied):
    other = copied(matrix)
    other[0, 0] = 8
    assert type(other) is Tensor and other.dtype == np.float32 and matrix.tolist() == VALUES


def test_shapes_in_the_way_of_either_library(matrix):
    assert matrix.size == 6 and matrix.size() == (2, 3) and matrix.size(1) == matrix.size(-1) == 3
    assert matrix.dim() == 2 and matrix.numel() == 6 and matrix.unsqueeze(0).shape == (1, 2, 3)
    assert matrix.view(3, 2).shape == matrix.view((3, 2)).shape == matrix.t().shape == (3, 2)
    assert matrix.view(-1).shape == (6,) and matrix.view(np.int32).dtype == np.int32
    assert matrix.transpose(0, 1).shape == (3, 2) and np.transpose(matrix, (0, 1)).shape == (2, 3)
    assert matrix.unsqueeze(0).permute(2, 0, 1).shape == (3, 1, 2)


def test_numpy_functions_and_arithmetic(matrix):
    assert np.argmax(matrix) == 4 and np.sort(matrix)[1].tolist() == [-6, 4, 5] and np.max(matrix) == 5
    assert np.concatenate([matrix, matrix]).shape == (4, 3) and np.allclose(np.exp(matrix), np.exp(VALUES))
    matrix[0] -= 1
    matrix[1][:] = 0
    assert matrix.tolist() == [[0, -3, 2], [0, 0, 0]] and matrix[0, 2].item() == 2 and int(matrix[0].argmax()) == 2
    assert type(np.asarray(matrix)) is np.ndarray and type(np.from_dlpack(matrix.numpy())) is np.ndarray


def test_in_place_methods(matrix):
    assert matrix.copy_([[1, 1, 1], [2, 2, 2]]) is matrix and matrix[1, 2] == 2
    assert matrix.fill_(3)[0, 0] == 3 and matrix.zero_().sum() == 0


def test_is_on_the_cpu_in_float32(matrix, without_torch):
    assert matrix.device.type == "cpu" and str(matrix.device) == "cpu" and matrix.device.index is None
    assert matrix.to("cpu") is matrix.to(np.float32) is matrix.to(device="cpu", dtype=np.dtype("float32")) is matrix
    assert matrix.to("cpu", copy=True) is not matrix
    assert matrix.requires_grad_(False) is matrix and not matrix.requires_grad and not matrix.is_cuda


@pytest.mark.parametrize("call", ["t.softmax(-1)", "t.argmax(dim=-1)", "t.to('cuda')", "t.topk(2)", "t.sum(dim=0)"])
def test_says_what_to_do_where_only_torch_would_do(matrix, without_torch, call):
    with pytest.raises(AttributeError, match="use NumPy, or import torch"):
        eval(call, {"t": matrix})


def test_importing_the_drop_in_imports_neither_torch_nor_anything_else():
    check = "import sys; import rwkvcpp.model, rwkvcpp.utils; " \
        "assert not {'torch', 'tokenizers', 'tiktoken'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_torch_functions_work_on_it(torch, matrix):
    row, F = matrix[0], torch.nn.functional
    assert abs(float(torch.softmax(row.float(), dim=-1).sum()) - 1) < 1e-6
    assert torch.equal(F.softmax(row, -1), torch.softmax(torch.tensor(VALUES[0]), -1))
    assert int(torch.argmax(row)) == 2 and torch.stack([row, row]).shape == (2, 3)
    assert torch.equal(torch.tensor(matrix), torch.tensor(VALUES)) and torch.cat((row, torch.zeros(1))).shape == (4,)
    assert torch.equal(torch.ones(3) * row, row * torch.ones(3))
    assert torch.zeros(3).copy_(row).tolist() == VALUES[0]
    assert not torch.isnan(matrix).any() and torch.empty_like(matrix).shape == (2, 3)


def test_torch_methods_work_on_it_in_the_same_memory(torch, matrix):
    assert matrix[0].topk(2)[1].tolist() == [2, 0] and int(matrix[1].argmax(dim=-1)) == 1
    assert matrix[0].sort(descending=True)[0].tolist() == [3, 1, -2] and matrix.max(dim=0)[0].tolist() == [4, 5, 3]
    assert matrix.softmax(-1).shape == (2, 3) and matrix.half().dtype == torch.float16
    assert matrix.to(torch.bfloat16).dtype == torch.bfloat16 and matrix.to(torch.float32) is matrix
    matrix.masked_fill_(torch.tensor(VALUES) < 0, 0)
    assert matrix.tolist() == [[1, 0, 3], [4, 5, 0]]
    assert matrix.device == torch.device("cpu") and torch.zeros(2, device=matrix.device).device == matrix.device
    with pytest.raises(AttributeError, match="neither NumPy arrays nor torch tensors"):
        matrix.no_such_method


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_takes_torch_tensors_of_any_float_type(torch, name):
    values = floats(torch.tensor(VALUES, dtype=getattr(torch, name), requires_grad=True))
    assert type(values) is np.ndarray and values.dtype == np.float32 and values.tolist() == VALUES
    assert is_torch(torch.zeros(1)) and not is_torch(Tensor(VALUES))


def test_logits_and_states_are_tensors():
    from rwkvcpp.model import RWKV

    model = RWKV(rwkvcpp.DEMO_MODEL, "cpu fp32", verbose=False)
    out, state = model.forward([1, 2], None)
    assert type(out) is Tensor and all(type(element) is Tensor for element in state)
