# SPDX-License-Identifier: Apache-2.0
"""Arguments that no one should pass: every public callable refuses them with an exception, crashes never, changes nothing."""

import copy
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rwkvcpp
from rwkvcpp import _core

FOLDER = pathlib.Path(__file__).parent
CLASSES = [value for value in vars(rwkvcpp).values() if isinstance(value, type) and value.__module__ == "rwkvcpp"
           and not issubclass(value, BaseException)]
ALLOWED = (rwkvcpp.RwkvError, TypeError, ValueError, OverflowError, IndexError, KeyError, MemoryError, BufferError,
           AttributeError, OSError, UnicodeError, LookupError, StopIteration, pickle.PicklingError)


# Take lists of tokens; NumPy itself crashes when a list changes while it makes an array of it.
LISTS = ["forward", "batch", "batch.item", "decode", "decode_bytes", "Sampler.token_ban", "generate.token_stop"]


class OwnError(Exception):
    """Raised by arguments."""


def hostile(**methods):
    """An object whose methods return these values, or raise OwnError."""
    def method(value):
        def call(*_, **__):
            if value is OwnError:
                raise OwnError
            return value
        return call
    return type("Hostile", (), {f"__{name}__": method(value) for name, value in methods.items()})()


class Changing:
    """Empties the list that it is in when it is read."""

    def __init__(self, home):
        self.home = home

    def __index__(self):
        self.home.clear()
        return 1

    def __array__(self, *_, **__):
        self.home.clear()
        return np.zeros(192, np.float32)


def changing():
    home = []
    home += [Changing(home) for _ in range(12)]
    return home


def values():
    """New ones for each call, since some change."""
    loop = []
    loop.append(loop)
    numbers = np.arange(24, dtype=np.float32)
    read_only = np.arange(6)
    read_only.flags.writeable = False
    yield from (None, True, False, 0, 1, -1, 1024, 2**31, -(2**31) - 1, 2**63, -(2**64), 10**400, 0.0, -0.5, 1e-45, 1e308)
    yield from (float("nan"), float("inf"), 1j, "", "a", "\0", "a\0b", "\ud800", "x" * 5000, b"", b"\xff\0", bytearray(b"ab"))
    yield from ([], [1], [1, None], [[1], [2, 3]], [[]], [1.5], ["a", "\ud800"], ["a", 1], loop, (), (1, 2), [2**70], [True])
    yield from ({}, {1: 2}, {1, 2}, (i for i in range(3)), range(0), range(5), range(9, 0, -3), iter([1]), memoryview(b"ab"))
    yield from (numbers[::3], numbers[::-1], numbers.reshape(4, 6).T, np.zeros(0), np.zeros((0, 3), int), np.array(3), read_only)
    yield from (np.arange(3, dtype=">i4"), np.arange(3, dtype=">f4"), np.zeros(2, "i4,f4"), np.array([1, None], object))
    yield from (np.array(["a"]), np.array([b"a"]), np.zeros(3, bool), np.array([np.nan]), np.zeros(2, complex), np.int8(-1))
    yield from (np.array([2**63], np.uint64), np.zeros(3, "M8[s]"), np.ma.masked_array([1, 2], [0, 1]), np.float16(1))
    yield from (np.lib.stride_tricks.as_strided(np.zeros(1, int), (6,), (0,)), np.arange(8)[1::2], np.zeros(2, "V3"))
    yield from (object(), object, int, len, print, ..., NotImplemented, Exception("a"), sys, pathlib.Path("/"), os.curdir)
    for name in ("index", "len", "getitem", "array", "float", "int", "bool", "fspath", "iter", "str", "repr", "eq", "hash"):
        yield hostile(**{name: OwnError})
        yield hostile(**{name: "wrong"})
        yield hostile(**{name: 10**30})
    yield from (hostile(len=5, getitem=OwnError), hostile(len=-1, getitem=OwnError), hostile(len=10**17, getitem=OwnError))
    yield from (hostile(array=None), hostile(array=[1, 2]), hostile(array=np.zeros((2, 2))), hostile(fspath=b"\xff"))
    yield from (rwkvcpp.State, rwkvcpp.Tokenizer("bytes"), rwkvcpp.Sampler(), MODEL.new_state(), MODEL.config, PIPELINE)
    yield from (cls.__new__ for cls in CLASSES)


# Lives longer than the values do; the model is loaded once for each process.
MODEL = rwkvcpp.load_demo("cpu fp32")
PIPELINE = rwkvcpp.Pipeline(MODEL)


def callables(state, folder):
    """Functions of one argument."""
    model, pipeline, tokenizer = MODEL, PIPELINE, PIPELINE.tokenizer
    sampler, decoder, logits = rwkvcpp.Sampler(seed=1), tokenizer.stream_decoder(), np.zeros(1024, np.float32)
    state_class, array = rwkvcpp.State, state.device_arrays()[0]
    found = {
        "Model": lambda v: rwkvcpp.Model(v), "Model.strategy": lambda v: rwkvcpp.Model(rwkvcpp.DEMO_MODEL, v),
        "load_demo": rwkvcpp.load_demo, "inspect": rwkvcpp.inspect, "refine_context": rwkvcpp.refine_context,
        "forward": lambda v: model.forward(v, state.copy()), "forward.state": lambda v: model.forward(1, v),
        "forward.all": lambda v: model.forward(1, None, v), "forward.list": lambda v: model.forward([1, v], state.copy()),
        "batch": model.forward_batch, "batch.item": lambda v: model.forward_batch([[1], v]),
        "batch.states": lambda v: model.forward_batch([1], v), "batch.state": lambda v: model.forward_batch([1], [v]),
        "batch.samplers": lambda v: model.forward_batch([1], samplers=v),
        "batch.sampler": lambda v: model.forward_batch([1], samplers=[v]),
        "dlpack.stream": lambda v: array.__dlpack__(stream=v), "dlpack.version": lambda v: array.__dlpack__(max_version=v),
        "dlpack.device": lambda v: array.__dlpack__(dl_device=v), "dlpack.copy": lambda v: array.__dlpack__(copy=v),
        "load": lambda v: state_class.load(v, model), "load.model": lambda v: state_class.load(folder / "none", v),
        "from_list.item": lambda v: state_class.from_list([v] * 12, model),
        "from_list.model": lambda v: state_class.from_list([], v),
        "from_list": lambda v: state_class.from_list(list(v), model) if isinstance(v, (list, tuple)) else None,
        "getitem": lambda v: state[v], "setitem": lambda v: state.__setitem__(v, np.zeros(3)),
        "setitem.value": lambda v: state.__setitem__(1, v), "eq": lambda v: (state == v, model.config == v),
        "deepcopy": state.__deepcopy__, "exit": lambda v: state.copy().__exit__(v),
        "save": lambda v: state.save(v) if isinstance(v, (int, float, list, dict, np.ndarray, type(None))) else None,
        "Tokenizer": rwkvcpp.Tokenizer, "for_model": rwkvcpp.Tokenizer.for_model,
        "for_model.vocabulary": lambda v: rwkvcpp.Tokenizer.for_model(model, v), "encode": tokenizer.encode,
        "decode": tokenizer.decode, "decode.errors": lambda v: tokenizer.decode([255], v),
        "decode_bytes": tokenizer.decode_bytes, "StreamDecoder": rwkvcpp.StreamDecoder, "push": decoder.push,
        "sample": sampler.sample, "accept": sampler.accept, "accept.counts": lambda v: sampler.accept(1, v),
        "distribution": rwkvcpp.sampling_distribution, "Pipeline": rwkvcpp.Pipeline,
        "Pipeline.tokenizer": lambda v: rwkvcpp.Pipeline(model, v), "read": lambda v: pipeline.read(v, state.copy()),
        "read.state": lambda v: pipeline.read("", v), "generate": lambda v: pipeline.generate(v, 1, state=state.copy()),
        "stream": lambda v: list(pipeline.stream(v, 1)), "keywords": lambda v: model.forward(1, **{ascii(v)[:50]: v}),
        "_state": lambda v: _core._state(v, v, v, v),
        "_state.list": lambda v: _core._state(state.__reduce__()[1][0], 1, 2, [v] * 12),
        "_model": lambda v: _core._model(v, v, 1, v, v), "_tokenizer": lambda v: _core._tokenizer(v, v),
        "_config": lambda v: _core._config(v), "_config.items": lambda v: _core._config((v,) * 10),
    }
    for name in ("threads", "progress", "head_norm_eps", "fp16_state"):
        found["Model." + name] = lambda v, n=name: rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", **{n: min(v, 4) if n == "threads" and type(v) is int else v})
    for name in ("temperature", "top_p", "top_k", "min_p"):
        found["distribution." + name] = lambda v, n=name: rwkvcpp.sampling_distribution(logits, **{n: v})
    for name in ("temperature", "top_p", "top_k", "min_p", "alpha_presence", "alpha_frequency", "alpha_decay", "token_ban", "seed"):
        found["Sampler." + name] = lambda v, n=name: rwkvcpp.Sampler(**{n: v}).sample(logits)
        found["generate." + name] = lambda v, n=name: pipeline.generate("a", 1, **{n: v})
    for name in ("token_stop", "stop", "chunk_len", "state"):
        found["generate." + name] = lambda v, n=name: pipeline.generate("a", 1, **{n: v})
    return found


def attempt(name, call, value):
    try:
        call(value)
    except (*ALLOWED, OwnError):
        pass
    except BaseException as error:
        raise AssertionError(f"{name}: {type(error)} for a {type(value)}") from error


def batch_of_arguments(folder):
    os.chdir(folder)
    state = MODEL.new_state()
    MODEL.forward([1, 2, 3], state)
    for name, call in callables(state, pathlib.Path(folder)).items():
        for value in [*values(), *([changing()] if name in LISTS else [])]:
            if name in ("eq", "read.state") and value is None or name == "batch" and getattr(value, "dtype", None) == "M8[s]":
                continue
            before = state.copy()
            print(name, type(value), flush=True)
            attempt(name, call, value)
            # A scalar or an array that fits may be assigned; nothing else may change the state.
            assert state == before, name
            assert state.tokens_seen == 3, name


def batch_of_objects(folder):
    """Objects without __init__, methods with a wrong self, properties that cannot be set."""
    del folder
    objects = [MODEL, MODEL.new_state(), MODEL.config, MODEL.memory, PIPELINE, PIPELINE.tokenizer, PIPELINE.stream("a"),
               PIPELINE.tokenizer.stream_decoder(), rwkvcpp.Sampler(), rwkvcpp.inspect(rwkvcpp.DEMO_MODEL)]
    for cls in CLASSES:
        print(cls, flush=True)
        raw = []
        attempt(f"{cls}.__new__", lambda _, c=cls, r=raw: r.append(c.__new__(c)), None)
        attempt(f"{cls}()", lambda _, c=cls: c(), None)
        attempt(f"subclass of {cls}", lambda _, c=cls: type("Sub", (c,), {})(), None)
        names = [n for n in dir(cls) if n not in ("__class__", "__init_subclass__", "__subclasshook__", "__new__", "__del__")]
        # What is closed here is the object of another turn, or a raw one.
        for target in [*raw, None, 1, "a", *(o for o in objects if type(o) is not cls)]:
            for name in names:
                if target is None and cls in (rwkvcpp.State, rwkvcpp.Stream):
                    continue
                print(cls, name, type(target), flush=True)
                member = getattr(cls, name)
                getter = getattr(member, "fget", None) or getattr(member, "__get__", None)
                if name in ("__setattr__", "__delattr__", "__dict__", "__reduce_ex__"):
                    continue
                if isinstance(member, property):
                    attempt(name, getter, target)
                elif callable(member):
                    for arguments in [(), (1,), ([1], None), (1, 2, 3)]:
                        attempt(f"{cls}.{name}", lambda t, m=member, a=arguments: m(t, *a), target)
        for item in (o for o in objects if type(o) is cls):
            for name in names:
                if isinstance(getattr(cls, name), property):
                    with pytest.raises(AttributeError):
                        setattr(item, name, 1)
                    with pytest.raises(AttributeError):
                        delattr(item, name)
        for item in [*raw, *(o for o in objects if type(o) is cls)]:
            for work in (copy.copy, copy.deepcopy, repr, str, bool, hash, len, list,
                         *(lambda o, p=p: pickle.loads(pickle.dumps(o, p)) for p in range(6))):
                print("copy", cls, flush=True)
                attempt(f"{work} of {cls}", work, item)
    assert not MODEL.closed
    assert MODEL.forward(1).shape == (1024,)


@pytest.mark.parametrize("batch", ["batch_of_arguments", "batch_of_objects"])
def test_hostile_arguments_end_in_exceptions(batch, tmp_path):
    path = os.pathsep.join([str(FOLDER), str(pathlib.Path(rwkvcpp.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    code = f"import test_hostile; test_hostile.{batch}({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", code], capture_output=True, timeout=100,
                          env={**os.environ, "PYTHONPATH": path}, check=False)
    said = done.stdout.decode(errors="replace").splitlines()[-3:]
    assert done.returncode == 0, "\n".join([*said, done.stderr.decode(errors="replace")[-3000:]])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9) | st.integers(0, 1023),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8)


@settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(tokens=ANYTHING, state=ANYTHING)
def test_a_refused_call_leaves_the_state_as_it_was(tokens, state):
    own = MODEL.new_state()
    MODEL.forward([1, 2], own)
    before = own.copy()
    for call in (lambda: MODEL.forward(tokens, own), lambda: MODEL.forward_batch([[1], tokens], [own, state]),
                 lambda: MODEL.forward_batch(tokens, [own]), lambda: PIPELINE.read(tokens, own, state),
                 lambda: PIPELINE.generate("a", tokens, state=own, seed=state)
                 if not isinstance(tokens, int) or tokens < 9 else MODEL.forward(1, own)):
        try:
            call()
        except ALLOWED:
            assert own == before
            assert own.tokens_seen == before.tokens_seen
        before = own.copy()
