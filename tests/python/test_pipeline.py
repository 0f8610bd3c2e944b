# SPDX-License-Identifier: Apache-2.0
"""Pipeline and Stream: golden texts, stop strings, states, streams that are left or watched."""

import json
import threading

import pytest

import rwkvcpp

QUESTION = "User: What is 7 plus 8?\n\nAssistant:"


@pytest.fixture(scope="module")
def pipeline():
    return rwkvcpp.Pipeline(rwkvcpp.load_demo("cpu fp32"))


@pytest.mark.parametrize("case", range(16))
def test_greedy_texts_are_the_references_token_by_token(case, data, shared):
    case = json.loads((data / "cases/generate.json").read_text())[case]
    model = rwkvcpp.Model(shared / "models" / case["model"], "cpu fp32")
    options = {key: case[key] for key in ("temperature", "top_p", "top_k", "token_ban", "token_stop")}
    options |= {key: case[key] for key in ("alpha_frequency", "alpha_presence", "alpha_decay")}
    with rwkvcpp.Pipeline(model).stream(bytes(case["prompt_tokens"]), case["token_count"], **options) as stream:
        text = "".join(stream)
        assert stream.tokens == case["tokens"]
    if text.isascii():
        assert text == case["text"]


def test_the_answer_ends_in_front_of_a_stop_string(pipeline):
    for stop in ("\n\n", ["\n\n"], ("never", "\n\n")):
        assert pipeline.generate(QUESTION, temperature=0, stop=stop) == " 7 plus 8 is 15."
    assert pipeline.generate(QUESTION, temperature=0, stop="is") == " 7 plus 8 "


@pytest.mark.parametrize(("options", "reason"), [({"stop": "\n\n"}, "string"), ({"max_tokens": 3}, "max_tokens")])
def test_a_stream_says_why_it_ended(pipeline, options, reason):
    stream = pipeline.stream(QUESTION, temperature=0, **options)
    assert (stream.reason, stream.text, stream.tokens, stream.prompt_tokens) == (None, "", [], 0)
    assert "".join(stream) == stream.text == pipeline.generate(QUESTION, temperature=0, **options)
    assert stream.reason == reason
    assert stream.stop == ("\n\n" if reason == "string" else "")
    assert stream.prompt_tokens == len(pipeline.tokenizer.encode(QUESTION))
    assert list(stream) == []


def test_a_stop_token_ends_the_text(pipeline):
    free = pipeline.stream(QUESTION, 8, temperature=0)
    list(free)
    stream = pipeline.stream(QUESTION, 8, temperature=0, token_stop=free.tokens[4])
    list(stream)
    assert stream.tokens == free.tokens[: free.tokens.index(free.tokens[4])]
    assert stream.reason == "token"


def test_the_same_seed_gives_the_same_text(pipeline):
    texts = [pipeline.generate("Once upon a time", 30, seed=seed) for seed in (1, 1, 2, 2**64 - 1)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(pipeline, seed):
    with pytest.raises(rwkvcpp.ArgumentError, match="seed"):
        pipeline.generate("Once", seed=seed)


def test_a_stream_that_is_left_has_a_state_behind_what_was_fed(pipeline):
    stream = pipeline.stream("Once upon a time", 50, seed=1)
    for _ in range(5):
        next(stream)
    fed = pipeline.tokenizer.encode("Once upon a time") + stream.tokens[: stream.fed_tokens]
    state = stream.state
    stream.close()
    assert state.tokens_seen == len(fed)
    assert abs(pipeline.model.forward(5, state) - pipeline.model.forward([*fed, 5])).max() < 1e-4  # sums in another order


def test_a_state_goes_on_with_a_conversation(pipeline):
    state = pipeline.model.new_state()
    first = pipeline.stream("User: My name is Anna.\n\nAssistant:", 50, state=state, temperature=0, stop="\n\n")
    list(first)
    pipeline.model.forward(first.tokens[first.fed_tokens :], state)
    assert "Anna" in pipeline.generate("User: What is my name?\n\nAssistant:", 50, state=state, temperature=0, stop="\n\n")


def test_reading_is_feeding(pipeline):
    state, other = pipeline.model.new_state(), pipeline.model.new_state()
    logits = pipeline.read("Once upon a time", state, chunk_len=2)
    expected = pipeline.model.forward(pipeline.tokenizer.encode("Once upon a time"), other)
    assert abs(logits - expected).max() < 1e-4  # sums in another order
    assert state.tokens_seen == other.tokens_seen


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"prompt": ""}, rwkvcpp.ArgumentError),
        ({"prompt": None}, TypeError),
        ({"max_tokens": -1}, rwkvcpp.ArgumentError),
        ({"temperature": float("nan")}, rwkvcpp.ArgumentError),
        ({"top_p": 2.0}, rwkvcpp.ArgumentError),
        ({"chunk_len": 0}, rwkvcpp.ArgumentError),
        ({"token_ban": [1024]}, rwkvcpp.TokenError),
        ({"token_stop": -1}, rwkvcpp.TokenError),
        ({"stop": ""}, rwkvcpp.ArgumentError),
        ({"stop": 5}, TypeError),
        ({"stop": ["a", 5]}, TypeError),
        ({"state": 5}, TypeError),
        ({"seed": 1.5}, TypeError),
    ],
)
def test_wrong_arguments_leave_the_state_alone(pipeline, options, error):
    state = pipeline.model.new_state()
    for call in (pipeline.generate, pipeline.stream):
        with pytest.raises(error):
            call(**({"prompt": "Once", "state": state} | options))
    assert state == pipeline.model.new_state()


def test_an_error_ends_a_stream(pipeline):
    state = pipeline.model.new_state()
    stream = pipeline.stream("Once", 50, state=state)
    next(stream)
    for array in state:
        array[...] = float("nan")
    with pytest.raises(rwkvcpp.NumericError):
        list(stream)
    assert stream.reason is None
    assert list(stream) == []


@pytest.mark.threads
def test_a_stream_can_be_watched_from_another_thread(pipeline):
    stream = pipeline.stream("Once", 500, seed=1, temperature=3.0, top_p=1.0)
    worker = threading.Thread(target=lambda: list(stream))
    worker.start()
    looks = 0
    while worker.is_alive():
        assert len(stream.text) >= 0
        assert stream.fed_tokens <= len(stream.tokens) <= 500
        assert stream.reason in (None, "max_tokens")
        assert stream.prompt_tokens in (0, len(pipeline.tokenizer.encode("Once")))
        looks += 1
    assert looks > 0
    assert len(stream.tokens) == 500
