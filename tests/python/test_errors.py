# SPDX-License-Identifier: Apache-2.0
"""Each kind of error: its class, and a message that says what to do."""

import errno
import subprocess
import sys

import pytest

import rwkvcpp

BUILT_IN = {
    "MissingFileError": FileNotFoundError,
    "FileError": OSError,
    "OutOfMemoryError": MemoryError,
    "StrategyError": ValueError,
    "TokenError": ValueError,
    "ArgumentError": ValueError,
    "NumericError": ArithmeticError,
}


def test_all_are_rwkv_errors_and_what_python_calls_them():
    kinds = [getattr(rwkvcpp, name) for name in rwkvcpp.__all__ if name.endswith("Error")]
    assert len(kinds) == 12
    for kind in kinds:
        assert issubclass(kind, rwkvcpp.RwkvError)
        assert issubclass(kind, BUILT_IN.get(kind.__name__, Exception))


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="no-such-model") as error:
        rwkvcpp.Model("no-such-model")
    assert isinstance(error.value, rwkvcpp.MissingFileError)
    assert error.value.errno == errno.ENOENT


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(rwkvcpp.FileError, match="folder"):
        rwkvcpp.Model(tmp_path)


def test_a_file_that_is_no_checkpoint_is_described(tmp_path):
    file = tmp_path / "page.pth"
    file.write_text("<!DOCTYPE html>")
    with pytest.raises(rwkvcpp.CheckpointError, match="page.pth"):
        rwkvcpp.Model(file)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [("cpu fp61", 'unknown type "fp61" at column 5'), ("gpu fp16", "gpu"), ("", "strategy"), ("cpu fp32 *99 ->", "strategy")],
)
def test_a_strategy_is_quoted_with_the_place_of_the_mistake(strategy, message):
    with pytest.raises(rwkvcpp.StrategyError, match=message):
        rwkvcpp.load_demo(strategy)


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(rwkvcpp.DeviceError, match="cuda:99, but: "):
        rwkvcpp.load_demo("cuda:99 fp16")


@pytest.mark.parametrize("nothing", [None, [], (), range(0), b""])
def test_no_tokens_at_all_asks_for_the_sampled_one(demo, nothing):
    state = demo.new_state()
    with pytest.raises(rwkvcpp.TokenError, match="pass the token that was sampled"):
        demo.forward(nothing, state)
    with pytest.raises(rwkvcpp.TokenError, match="pass the token that was sampled"):
        demo.forward(nothing, state, all_logits=True)
    assert state == demo.new_state()


@pytest.mark.parametrize("token", [-1, 1024, 2**31 - 1, 2**31, -(2**63), 2**100])
def test_a_token_outside_the_vocabulary_is_named_with_its_size(demo, token):
    state = demo.new_state()
    with pytest.raises(rwkvcpp.TokenError, match=f"token {token} .*vocabulary"):
        demo.forward([1, token], state)
    assert state == demo.new_state()
    if abs(token) < 2**31:
        with pytest.raises(rwkvcpp.TokenError, match="at position 1 .* 0 to 1023"):
            demo.forward([1, token], state)


def test_a_state_of_another_model_names_both(demo, data):
    other = rwkvcpp.Model(data / "models" / "random-v6.pth", "cpu fp32")
    state = other.new_state()
    with pytest.raises(rwkvcpp.StateError, match="another model .RWKV-6.* this model is RWKV-7"):
        demo.forward(1, state)
    assert state == other.new_state()


def test_logits_that_do_not_fit_into_memory_are_a_memory_error(demo):
    code = """
import resource, rwkvcpp
model = rwkvcpp.load_demo("cpu fp32")
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
state = model.new_state()
try:
    model.forward(range(1000), state, all_logits=True)
    model.forward([1] * 1_000_000, state, all_logits=True)   # 4 GB of logits
except MemoryError:
    assert state.tokens_seen == 1000
    model.forward(1, state)
    print("usable")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert result.stdout == "usable\n", result.stderr


def test_a_model_that_does_not_fit_into_memory_says_what_it_needs():
    code = """
import resource, rwkvcpp
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 20),) * 2)   # 9.6 MB of weights
try:
    rwkvcpp.load_demo("cpu fp32")
except MemoryError as error:
    assert isinstance(error, rwkvcpp.OutOfMemoryError), error
    print(type(error).__name__)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert result.stdout == "OutOfMemoryError\n", (result.stdout, result.stderr)


@pytest.mark.parametrize("name", ["temperature", "top_p", "min_p", "alpha_decay"])
def test_a_value_out_of_its_range_is_named(name):
    with pytest.raises(rwkvcpp.ArgumentError, match=name):
        rwkvcpp.Sampler(**{name: -1.0})


def test_what_is_closed_says_so():
    model = rwkvcpp.load_demo()
    state = model.new_state()
    state.close()
    with pytest.raises(rwkvcpp.StateError, match="closed"):
        model.forward(1, state)
    model.close()
    with pytest.raises(rwkvcpp.ArgumentError, match="closed"):
        model.forward(1)
