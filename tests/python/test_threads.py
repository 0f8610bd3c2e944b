# SPDX-License-Identifier: Apache-2.0
"""Many threads on one model get what one thread gets; threads on one state get StateError, never a mixed text."""

import copy
import itertools
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rwkvcpp

pytestmark = pytest.mark.threads

THREADS = 8
WAIT_S = 60
LONG = [i * 7 % 1000 for i in range(3000)]

# A call that computes alone splits its sums as one with workers does: the same bits are expected, a last bit is forgiven.
CLOSE = {"rtol": 0, "atol": 1e-6}


def together(work, count=THREADS):
    """Runs work(0), work(1) ... at the same time, each in its thread; returns what they return, raises what they raise."""
    barrier = threading.Barrier(count)

    def begin(i):
        barrier.wait(WAIT_S)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(begin, i) for i in range(count)]
        return [future.result(WAIT_S) for future in futures]


@pytest.fixture(scope="module")
def pipeline():
    return rwkvcpp.Pipeline(rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", threads=2))


@pytest.fixture
def model(pipeline):
    return pipeline.model


def steps(model, i):
    """Texts of different lengths, each in a different order of calls."""
    state, logits = model.new_state(), []
    for n in range(25):
        tokens = [(i * 31 + n * 17 + k) % 1000 for k in range(1 + (n * (i + 1)) % 9)]
        logits.append(model.forward(tokens, state))
    return np.stack(logits), state


def test_threads_with_a_state_each_get_the_logits_of_one_thread(model):
    expected = [steps(model, i) for i in range(THREADS)]
    for (logits, state), (same, same_state) in zip(together(lambda i: steps(model, i)), expected, strict=True):
        np.testing.assert_allclose(logits, same, **CLOSE)
        assert state.tokens_seen == same_state.tokens_seen
        for array, other in zip(state, same_state, strict=True):
            np.testing.assert_allclose(array, other, **CLOSE)


def test_threads_with_batches_get_the_logits_of_one_thread(model):
    def batches(i):
        states = [model.new_state() for _ in range(3)]
        logits = []
        for n in range(10):
            texts = [[(i * 31 + n + k + 5 * which) % 1000 for k in range(1 + (n + which) % 4)] for which in range(3)]
            logits.append(model.forward_batch(texts, states))
        return np.stack(logits)

    expected = [batches(i) for i in range(THREADS)]
    for logits, same in zip(together(batches), expected, strict=True):
        np.testing.assert_allclose(logits, same, **CLOSE)


def test_threads_with_streams_get_the_texts_of_one_thread(pipeline):
    def text(i):
        with pipeline.stream("Once upon a time" + "!" * i, 40, seed=i) as stream:
            return list(stream), stream.tokens, stream.state.tokens_seen

    expected = [text(i) for i in range(THREADS)]
    assert together(text) == expected


def test_threads_with_one_tokenizer_get_the_tokens_of_one_thread(pipeline):
    def tokens(i):
        text = f"Once upon a time, {i} times é " * 50
        ids = pipeline.tokenizer.encode(text)
        decoder = pipeline.tokenizer.stream_decoder()
        assert "".join(map(decoder.push, ids)) + decoder.flush() == pipeline.tokenizer.decode(ids) == text
        return ids

    expected = [tokens(i) for i in range(THREADS)]
    assert together(tokens) == expected


@pytest.mark.parametrize("call", ["forward", "forward_batch", "generate", "stream", "read"])
def test_a_long_call_lets_other_threads_run(pipeline, call):
    model = pipeline.model
    calls = {
        "forward": lambda: model.forward(LONG),
        "forward_batch": lambda: model.forward_batch([LONG, LONG[:500]]),
        "generate": lambda: pipeline.generate("Once", 1000, seed=1),
        "stream": lambda: next(pipeline.stream(" a" * 3000, 1)),
        "read": lambda: pipeline.read(" a" * 3000, model.new_state(), chunk_len=3000),
    }
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(calls[call])
        count = 0
        while not future.done():
            count += 1
            time.sleep(0.001)
        future.result()
    assert count > 15  # with the GIL held, this thread gets a turn before and after the call


def test_two_threads_on_one_state_either_feed_it_or_raise_state_error(model):
    state = model.new_state()

    def feed(i):
        fed = []
        for n in range(150):
            tokens = [(i + n + k) % 1000 for k in range(1 + n % 3)]
            try:
                logits = model.forward(tokens, state) if n % 2 else model.forward_batch([tokens], [state])[0]
            except rwkvcpp.StateError:
                continue
            assert np.isfinite(logits).all()
            fed.append(tokens)
        return fed

    fed = together(feed, 2)
    assert state.tokens_seen == sum(len(tokens) for tokens in itertools.chain(*fed)) > 0


def test_a_state_in_use_by_a_long_call_refuses_everything_else_and_stays_whole(model):
    state, quiet = model.new_state(), model.new_state()
    expected = model.forward(LONG, quiet)
    pipeline = rwkvcpp.Pipeline(model)
    array = quiet.copy()[0]
    refused = {
        "forward": lambda: model.forward(1, state),
        "batch": lambda: model.forward_batch([[1], [2]], [None, state]),
        "copy": state.copy,
        "copy.copy": lambda: copy.copy(state),
        "deepcopy": lambda: copy.deepcopy(state),
        "to_list": state.to_list,
        "close": state.close,
        "element": lambda: state[0],
        "assignment": lambda: state.__setitem__(0, array),
        "iteration": lambda: list(state),
        "len": lambda: len(state),
        "equality": lambda: state == quiet,
        "pickle": lambda: pickle.dumps(state),
        "tokens_seen": lambda: state.tokens_seen,
        "names": lambda: state.names,
        "generate": lambda: pipeline.generate("a", 1, state=state),
        "stream": lambda: pipeline.stream("a", 1, state=state),
        "read": lambda: pipeline.read("a", state),
    }
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(model.forward, LONG, state)
        time.sleep(0.05)
        for name, call in refused.items():
            with pytest.raises(rwkvcpp.StateError):
                call()
            assert not future.done(), f"{name}: the long call is over"
        assert not state.closed
        logits = future.result(WAIT_S)
    np.testing.assert_allclose(logits, expected, **CLOSE)
    assert state.tokens_seen == len(LONG)
    np.testing.assert_allclose(state[1], quiet[1], **CLOSE)


def test_reading_a_state_while_another_thread_feeds_it_succeeds_or_raises_state_error(model, tmp_path):
    state = model.new_state()
    done = threading.Event()

    def feed():
        fed = 0
        while not done.is_set():
            try:
                model.forward([fed % 1000], state)
                fed += 1
            except rwkvcpp.StateError:
                pass
            time.sleep(0.001 * (fed % 3))  # gives the readers a chance, at different moments
        return fed

    def read(i):
        path = tmp_path / f"{i}.state"
        looks = [state.copy, state.to_list, lambda: state.save(path), lambda: state == state.copy(), lambda: pickle.dumps(state),
                 lambda: repr(state), lambda: state.tokens_seen, lambda: list(state), lambda: rwkvcpp.State.load(path, model)]
        came, ends = 0, time.monotonic() + 20
        for look in itertools.cycle(looks):
            if came >= 25 or time.monotonic() > ends:
                break
            try:
                result = look()
            except (rwkvcpp.StateError, rwkvcpp.MissingFileError):
                time.sleep(0.0003)
                continue
            if isinstance(result, rwkvcpp.State):
                assert np.isfinite(model.forward(1, result)).all()  # never half a token
            came += 1
        return came

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(feed)
        came = together(read, 3)
        done.set()
        fed = future.result(WAIT_S)
    assert fed == state.tokens_seen
    assert fed > 0
    assert sum(came) > 0


def test_copies_made_while_another_thread_feeds_are_of_whole_tokens(model):
    state = model.new_state()
    tokens = [i * 13 % 1000 for i in range(200)]
    done = threading.Event()

    def feed(_):
        for token in tokens:
            while True:
                try:
                    model.forward(token, state)
                    break
                except rwkvcpp.StateError:
                    time.sleep(0)
        done.set()

    copies = []

    def look(_):
        while not done.is_set():
            try:
                copies.append(state.copy())
            except rwkvcpp.StateError:
                time.sleep(0)
        return 0

    together(lambda i: (feed, look)[i](i), 2)
    references = [model.new_state()]
    for token in tokens:
        references.append(references[-1].copy())
        model.forward(token, references[-1])
    for taken in [*copies[:100], *copies[-100:], state]:
        for array, same in zip(taken, references[taken.tokens_seen], strict=True):
            np.testing.assert_allclose(array, same, **CLOSE)


def test_closing_the_model_during_calls_of_other_threads_ends_none_of_them():
    for _ in range(3):
        model = rwkvcpp.load_demo("cpu fp32")
        pipeline = rwkvcpp.Pipeline(model)
        expected = model.forward(LONG[:1000])
        text = pipeline.generate("Once", 100, seed=1)
        with ThreadPoolExecutor(2) as pool:
            logits = pool.submit(model.forward, LONG[:1000])
            generated = pool.submit(pipeline.generate, "Once", 100, seed=1)
            time.sleep(0.02)
            model.close()
            assert model.closed
            np.testing.assert_allclose(logits.result(WAIT_S), expected, **CLOSE)
            assert generated.result(WAIT_S) == text
        with pytest.raises(rwkvcpp.ArgumentError, match="closed"):
            model.forward(1)


def test_threads_that_race_to_use_and_close_a_model_and_a_state_get_errors_only():
    for n in range(15):
        model = rwkvcpp.load_demo("cpu fp32")
        state = model.new_state()

        def race(i, model=model, state=state, n=n):
            calls = [lambda: model.forward([1, 2], state), lambda: model.forward_batch([1, 2]), state.close, state.copy,
                     lambda: state[1].sum(), model.new_state, model.close, lambda: (repr(model), repr(state), model.closed)]
            for k in range(8):
                try:
                    calls[(i + k * (n + 1)) % 8]()
                except (rwkvcpp.StateError, rwkvcpp.ArgumentError):
                    pass

        together(race)
        assert model.closed
        assert state.closed or n % 2


def test_one_stream_in_two_threads_gives_each_piece_once(pipeline):
    expected = pipeline.generate("Once upon a time", 60, seed=2)
    stream = pipeline.stream("Once upon a time", 60, seed=2)

    def draw(_):
        pieces = []
        while True:
            try:
                pieces.append(next(stream))
            except StopIteration:
                return pieces
            except rwkvcpp.StateError:
                time.sleep(0)

    drawn = together(draw, 2)
    assert sum(len(piece) for pieces in drawn for piece in pieces) == len(expected)
    assert stream.text == expected


def test_states_and_models_are_made_and_dropped_by_many_threads(model):
    first = model.new_state()
    model.forward(5, first)
    expected = model.forward(6, first)

    def make(i):
        for _ in range(10):
            state = model.new_state()
            view = state[i]
            model.forward(5, state)
            logits = model.forward(6, state)
            del state
            assert np.isfinite(view).all()  # a view keeps its memory
            np.testing.assert_allclose(logits, expected, **CLOSE)

    together(make)
