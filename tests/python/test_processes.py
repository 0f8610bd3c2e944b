# SPDX-License-Identifier: Apache-2.0
"""Models, states, tokenizers and pipelines in other processes: forked, spawned and sent there. A hang is a failure."""

import json
import multiprocessing
import os
import pickle
import select
import signal
import threading
import time
import traceback

import numpy as np
import pytest

import rwkvcpp

# Python warns of fork() beside threads, among them those of the library; that it works is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

WAIT_S = 40
TEXT = [817, 584, 270, 382, 266]


def in_fork(work):
    """What work() returns in a forked child, as JSON; fails when the child hangs, crashes or raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            os.write(writer, json.dumps(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    data = b""
    ends = time.monotonic() + WAIT_S
    try:
        while True:
            ready, _, _ = select.select([reader], [], [], max(0, ends - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the child hangs")
            part = os.read(reader, 1 << 16)
            if not part:
                break
            data += part
    finally:
        os.close(reader)
        _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"
    return json.loads(data)


@pytest.fixture(scope="module")
def model():
    model = rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", threads=2)
    model.forward(TEXT * 20)  # its worker threads run
    return model


@pytest.fixture(scope="module")
def pipeline(model):
    return rwkvcpp.Pipeline(model)


def test_a_forked_child_uses_the_model_of_its_parent_with_the_same_logits(model):
    state = model.new_state()
    model.forward(TEXT, state)
    before = state.copy()

    def work():
        more = model.forward(TEXT * 20, state)
        batch = model.forward_batch([TEXT, TEXT * 3])
        return [more.tolist(), batch.tolist(), state.tokens_seen]

    here = in_fork(work)
    assert state == before  # the child has a state of its own
    assert here[2] == 5 + 100
    np.testing.assert_allclose(model.forward(TEXT * 20, state), here[0], atol=1e-5)
    np.testing.assert_allclose(model.forward_batch([TEXT, TEXT * 3]), here[1], atol=1e-5)


def test_a_child_of_a_forked_child_uses_the_model_too(model):
    def work():
        model.forward(TEXT * 20)
        return in_fork(lambda: model.forward(TEXT * 20).tolist())

    np.testing.assert_allclose(in_fork(work), model.forward(TEXT * 20), atol=1e-5)


def test_parent_and_forked_children_work_at_the_same_time(model):
    expected = model.forward(TEXT * 20).tolist()
    failures = []

    def fork_one():
        try:
            np.testing.assert_allclose(in_fork(lambda: model.forward(TEXT * 20).tolist()), expected, atol=1e-5)
        except BaseException as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=fork_one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        np.testing.assert_allclose(model.forward(TEXT * 20), expected, atol=1e-5)
    for thread in threads:
        thread.join(WAIT_S + 10)
    assert not failures


def test_a_fork_while_another_thread_is_inside_forward_neither_hangs_nor_disturbs(model):
    text = [i * 7 % 1000 for i in range(300)]
    expected = model.forward(text)
    done, results = threading.Event(), []

    def go_on():
        while not done.is_set():
            results.append(model.forward(text))

    other = threading.Thread(target=go_on)
    other.start()
    try:
        for _ in range(8):
            time.sleep(0.013)
            child = in_fork(lambda: [model.forward(text).tolist(), model.forward(5).tolist()])
            np.testing.assert_allclose(child[0], expected, atol=1e-5)
            np.testing.assert_allclose(child[1], model.forward(5), atol=1e-5)
    finally:
        done.set()
        other.join(WAIT_S)
    assert not other.is_alive()
    assert results
    for logits in results:
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_a_fork_while_other_threads_load_encode_and_copy_does_not_hang(model, pipeline):
    done, state = threading.Event(), model.new_state()

    def load():
        while not done.is_set():
            rwkvcpp.load_demo("cpu fp32").close()

    def encode():
        while not done.is_set():
            pipeline.tokenizer.encode("Once upon a time " * 200)
            state.copy()

    others = [threading.Thread(target=work) for work in (load, encode)]
    for other in others:
        other.start()
    try:
        for _ in range(5):
            texts = in_fork(lambda: [pipeline.generate("Once", 5, temperature=0), rwkvcpp.load_demo("cpu fp32").path])
            assert texts[0] == pipeline.generate("Once", 5, temperature=0)
    finally:
        done.set()
        for other in others:
            other.join(WAIT_S)


def test_the_state_of_a_call_that_runs_while_forking_is_in_use_in_the_child(model):
    state = model.new_state()
    other = threading.Thread(target=lambda: model.forward([1] * 6000, state))
    other.start()

    def work():
        try:
            model.forward(1, state)
        except rwkvcpp.StateError:
            return "in use"
        return "fed"

    time.sleep(0.1)
    assert other.is_alive()
    assert in_fork(work) == "in use"
    other.join(WAIT_S)
    assert state.tokens_seen == 6000


def test_a_stream_goes_on_in_a_forked_child_and_in_its_parent(pipeline):
    stream = pipeline.stream("Once upon a time", 30, seed=1)
    first = [next(stream) for _ in range(3)]
    rest = in_fork(lambda: list(stream))
    assert rest == list(stream)
    assert "".join(first + rest) == pipeline.generate("Once upon a time", 30, seed=1)


def test_a_child_may_close_what_it_got(model):
    def work():
        model.close()
        return model.closed

    assert in_fork(work) is True
    assert not model.closed
    assert model.forward(5).shape == (1024,)


# Of multiprocessing: functions that spawned processes can import.


def logits_of(model, state):
    return model.forward(266, state), state.tokens_seen


def text_of(pipeline, prompt):
    return pipeline.generate(prompt, 12, temperature=0)


def tokens_of(tokenizer, text):
    return tokenizer.encode(text), tokenizer.kind, tokenizer.source, len(tokenizer)


def same_state(state):
    return state


def error_of(model, token):
    return model.forward(token)


@pytest.fixture(scope="module", params=["spawn", "fork"])
def pool(request, model):
    with multiprocessing.get_context(request.param).Pool(2) as pool:
        yield pool


def test_pool_workers_get_model_and_state(pool, model):
    state = model.new_state()
    model.forward(TEXT, state)
    before = state.copy()
    results = pool.starmap_async(logits_of, [(model, state)] * 3).get(WAIT_S)
    assert state == before
    expected = model.forward(266, state)
    for logits, seen in results:
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        assert seen == 6


def test_pool_workers_get_pipeline_and_tokenizer(pool, pipeline):
    prompts = ["Once upon a time", "User: What is 7 plus 8?\n\nAssistant:", "\0é"]
    assert pool.starmap_async(text_of, [(pipeline, p) for p in prompts]).get(WAIT_S) == [text_of(pipeline, p) for p in prompts]
    for tokenizer in (pipeline.tokenizer, rwkvcpp.Tokenizer("bytes")):
        assert pool.apply_async(tokens_of, (tokenizer, "Once é")).get(WAIT_S) == tokens_of(tokenizer, "Once é")


def test_states_come_back_from_pool_workers_as_they_were_sent(pool, model):
    state = model.new_state()
    model.forward(TEXT, state)
    back = pool.apply_async(same_state, (state,)).get(WAIT_S)
    assert back == state
    assert back.tokens_seen == 5
    assert np.array_equal(model.forward(7, back), model.forward(7, state))


def test_errors_come_back_from_pool_workers_as_themselves(pool, model):
    with pytest.raises(rwkvcpp.TokenError, match="99999"):
        pool.apply_async(error_of, (model, 99999)).get(WAIT_S)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_hold_the_whole(model, pipeline, protocol):
    state = model.new_state()
    model.forward(TEXT, state)
    again = pickle.loads(pickle.dumps([model, state, pipeline, pipeline.tokenizer, model.config, state], protocol))
    assert again[5] is again[1]
    assert again[1] == state
    assert again[1].tokens_seen == 5
    assert again[4] == model.config
    assert (again[0].path, again[0].strategy) == (str(rwkvcpp.DEMO_MODEL), "cpu fp32")
    assert np.array_equal(again[0].forward(7, again[1]), model.forward(7, state))
    assert text_of(again[2], "Once") == text_of(pipeline, "Once")
    assert again[3].encode("Once") == pipeline.tokenizer.encode("Once")
