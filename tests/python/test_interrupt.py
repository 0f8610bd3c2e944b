# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and other signals during long calls: they arrive at once, and every state stays usable."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import rwkvcpp

PACKAGE_FOLDER = str(pathlib.Path(rwkvcpp.__file__).parents[1])
LATEST_S = 0.5  # the promise is tens of milliseconds; test machines are loaded

BEGIN = """
import json, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control has its background jobs ignore it
import rwkvcpp
model = rwkvcpp.Model(rwkvcpp.DEMO_MODEL, "cpu fp32", threads=2)
pipeline = rwkvcpp.Pipeline(model)
state = model.new_state()
model.forward([10, 11, 12], state)
before = state.copy()
many = [i * 7 % 1000 for i in range(300_000)]

def interrupted(call):
    print("ready", flush=True)
    try:
        call()
    except KeyboardInterrupt:
        return time.monotonic()
    raise SystemExit("the call ended before the signal")

def say(at, **more):
    print(json.dumps({"at": at, **more}), flush=True)
"""

FORWARD = """
at = interrupted(lambda: model.forward(many, state))
assert state == before and state.tokens_seen == 3
assert (model.forward(13, state) == model.forward(13, before)).all()
say(at)
"""

BATCH = """
states = [state, None, model.new_state()]
model.forward([20, 21], states[2])
copies = [s and s.copy() for s in states]
at = interrupted(lambda: model.forward_batch([many, many[:9], many[5:]], states))
assert states == copies and [s.tokens_seen for s in states if s] == [3, 2]
assert (model.forward(13, state) == model.forward(13, before)).all()
say(at)
"""

# What was drawn is what a stream with the same seed draws.
FED = """
def check_fed(state, options):
    stream = pipeline.stream(prompt, 10**6, state=before.copy(), **options)
    drawn = state.tokens_seen - 3 - len(tokens)
    assert drawn > 0, state.tokens_seen
    while len(stream.tokens) < drawn:
        next(stream)
    reference = before.copy()
    model.forward(tokens, reference)
    for token in stream.tokens[:drawn]:
        model.forward(token, reference)
    assert reference == state and reference.tokens_seen == state.tokens_seen

prompt = "Once upon a time"
tokens = pipeline.tokenizer.encode(prompt)
options = {"seed": 5, "temperature": 2.0, "top_p": 1.0}
"""

GENERATE = FED + """
at = interrupted(lambda: pipeline.generate(prompt, 10**6, state=state, **options))
check_fed(state, options)
say(at)
"""

STREAM = FED + """
stream = pipeline.stream(prompt, 10**6, state=state, **options)
pieces = []
at = interrupted(lambda: pieces.extend(stream))
assert stream.fed_tokens == state.tokens_seen - 3 - stream.prompt_tokens
assert len(stream.tokens) - stream.fed_tokens in (0, 1)
reference = before.copy()
model.forward(tokens, reference)
for token in stream.tokens[:stream.fed_tokens]:
    model.forward(token, reference)
assert reference == state
check_fed(state, options)
assert stream.text.startswith("".join(pieces)) and len(stream.text) > 10
say(at)
"""

# Nothing is drawn for hours: one step of the stream is interrupted, inside of its prompt.
PROMPT = """
prompt = "Once upon a time, " * 100_000
stream = pipeline.stream(prompt, 5, state=state, chunk_len=64)
at = interrupted(lambda: next(stream))
fed = state.tokens_seen - 3
assert fed > 0 and fed % 64 == 0 and stream.tokens == []
reference = before.copy()
tokens = pipeline.tokenizer.encode(prompt)
for begin in range(0, fed, 64):
    model.forward(tokens[begin:begin + 64], reference)
assert reference == state
say(at)
"""

READ = """
text = "Once upon a time, " * 100_000
at = interrupted(lambda: pipeline.read(text, state, chunk_len=64))
fed = state.tokens_seen - 3
assert fed > 0 and fed % 64 == 0
reference = before.copy()
tokens = pipeline.tokenizer.encode(text)
for begin in range(0, fed, 64):
    model.forward(tokens[begin:begin + 64], reference)
assert reference == state
say(at)
"""

CASES = {"forward": FORWARD, "forward_batch": BATCH, "generate": GENERATE, "stream": STREAM, "prompt": PROMPT, "read": READ}


def delay_of(case):
    """Runs a case, sends Ctrl-C into its call, and returns the seconds until KeyboardInterrupt."""
    path = os.pathsep.join(filter(None, [PACKAGE_FOLDER, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", BEGIN + CASES[case]], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as child:
        try:
            first = child.stdout.readline()
            if first == b"ready\n":
                time.sleep(0.4)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            said, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0, errors.decode()
    return json.loads(said)["at"] - sent


@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_ends_the_call_at_once_and_leaves_the_state_usable(case):
    delay = delay_of(case)
    print(f"{case}: KeyboardInterrupt after {delay * 1000:.0f} ms")
    assert delay < LATEST_S


@pytest.fixture
def on_signal():
    """Sets a handler of SIGUSR1, and sends the signal some times while a function runs."""
    old = signal.getsignal(signal.SIGUSR1)

    def run(handler, call, times=3):
        done = threading.Event()

        def send():
            for _ in range(times):
                if done.wait(0.06):
                    return
                os.kill(os.getpid(), signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, handler)
        sender = threading.Thread(target=send)
        sender.start()
        try:
            return call()
        finally:
            done.set()
            sender.join(30)

    yield run
    signal.signal(signal.SIGUSR1, old)


LONG = [i * 7 % 1000 for i in range(4000)]


def test_a_handler_that_returns_lets_the_work_go_on_with_the_same_result(demo, on_signal):
    handled = []
    state, quiet = demo.new_state(), demo.new_state()
    expected = demo.forward(LONG, quiet)
    logits = on_signal(lambda *_: handled.append(state.closed), lambda: demo.forward(LONG, state))
    assert handled
    assert np.array_equal(logits, expected)
    assert state == quiet


def test_a_handler_that_returns_lets_generation_go_on_with_the_same_text(demo, on_signal):
    pipeline = rwkvcpp.Pipeline(demo)
    handled = []
    state, quiet = demo.new_state(), demo.new_state()
    expected = pipeline.generate("Once", 800, state=quiet, seed=3)
    text = on_signal(lambda *_: handled.append(1), lambda: pipeline.generate("Once", 800, state=state, seed=3))
    assert handled
    assert text == expected
    assert state == quiet


class Alarm(Exception):
    pass


def test_an_exception_of_a_handler_comes_out_of_the_call_as_it_is(demo, on_signal):
    def handler(*_):
        raise Alarm("now")

    state = demo.new_state()
    demo.forward([1, 2], state)
    before = state.copy()
    with pytest.raises(Alarm, match="now"):
        on_signal(handler, lambda: demo.forward(LONG * 10, state), times=1)
    assert state == before
    assert state.tokens_seen == 2


def test_a_handler_may_use_the_model_but_not_the_state_in_use(demo, on_signal):
    seen = []
    state, quiet = demo.new_state(), demo.new_state()
    expected = demo.forward(LONG, quiet)
    alone = demo.forward([5, 6])

    def handler(*_):
        for call in (lambda: demo.forward(5, state), state.copy, state.close, state.to_list, lambda: state.tokens_seen):
            try:
                call()
                seen.append("no error")
            except rwkvcpp.StateError:
                seen.append("in use")
        seen.append(np.abs(demo.forward([5, 6]) - alone).max() < 1e-5)

    logits = on_signal(handler, lambda: demo.forward(LONG, state), times=1)
    assert seen == ["in use"] * 5 + [True]
    assert np.abs(logits - expected).max() < 1e-5
    assert state.tokens_seen == len(LONG)


def test_a_handler_that_closes_the_model_does_not_end_the_call(on_signal):
    model = rwkvcpp.load_demo("cpu fp32")
    expected = model.forward(LONG)
    assert np.array_equal(on_signal(lambda *_: model.close(), lambda: model.forward(LONG), times=1), expected)
    assert model.closed
