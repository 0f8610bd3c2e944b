# SPDX-License-Identifier: Apache-2.0
"""Random texts, splits, state operations and logits: what must hold for all of them."""

import pathlib
import pickle
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

import rwkvcpp

QUICK = settings(max_examples=40, deadline=None, derandomize=True, database=None,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
MANY = settings(QUICK, max_examples=150)

MODEL = rwkvcpp.load_demo("cpu fp32")
TOKENIZERS = {"demo": rwkvcpp.Tokenizer.for_model(MODEL), "bytes": rwkvcpp.Tokenizer("bytes")}
TOKENS = st.lists(st.integers(0, 1023), min_size=1, max_size=24)


def assert_close(logits, expected):
    """The same sums in another order: many tokens at once are multiplied in blocks. fp32 keeps 7 digits, a few are lost."""
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.ptp(expected))


def fresh(tokens):
    """State and logits of a text that is fed at once."""
    state = MODEL.new_state()
    return state, MODEL.forward(tokens, state)


@QUICK
@given(tokens=TOKENS, cuts=st.sets(st.integers(1, 23)), kind=st.sampled_from([list, tuple, np.array, bytes]))
def test_any_split_of_a_text_gives_the_logits_of_one_call(tokens, cuts, kind):
    if kind is bytes:
        tokens = [token % 256 for token in tokens]
    expected = fresh(tokens)[1]
    edges = [0, *sorted(cut for cut in cuts if cut < len(tokens)), len(tokens)]
    state = MODEL.new_state()
    for begin, end in zip(edges, edges[1:], strict=False):
        logits = MODEL.forward(kind(tokens[begin:end]), state)
    assert_close(logits, expected)
    assert state.tokens_seen == len(tokens)


@QUICK
@given(tokens=TOKENS)
def test_all_logits_are_those_of_every_beginning(tokens):
    rows = MODEL.forward(tokens, all_logits=True)
    state = MODEL.new_state()
    for row, token in zip(rows, tokens, strict=True):
        assert_close(row, MODEL.forward(token, state))


@QUICK
@given(texts=st.lists(TOKENS, min_size=1, max_size=4), all_logits=st.booleans())
def test_a_batch_gives_the_logits_of_each_text_alone(texts, all_logits):
    states = [MODEL.new_state() for _ in texts]
    for logits, text, state in zip(MODEL.forward_batch(texts, states, all_logits), texts, states, strict=True):
        assert_close(logits, MODEL.forward(text, all_logits=all_logits))
        assert state.tokens_seen == len(text)


class StateMachine(RuleBasedStateMachine):
    """States beside the lists of tokens that were fed to them."""

    states = Bundle("states")

    def check(self, state, fed, seen):
        assert state.tokens_seen == seen
        again = MODEL.new_state()
        expected = MODEL.forward([*fed, 5], again)
        assert_close(MODEL.forward(5, state.copy()), expected)

    @rule(target=states)
    def new(self):
        return MODEL.new_state(), [], 0

    @rule(target=states, item=consumes(states), tokens=TOKENS)
    def feed(self, item, tokens):
        state, fed, seen = item
        logits = MODEL.forward(tokens, state)
        assert_close(logits, fresh([*fed, *tokens])[1])
        return state, [*fed, *tokens], seen + len(tokens)

    @rule(target=states, item=states)
    def copy(self, item):
        state, fed, seen = item
        copied = state.copy()
        assert copied == state
        self.check(copied, fed, seen)
        return multiple((copied, fed, seen))

    @rule(target=states, item=states)
    def save_and_load(self, item):
        state, fed, seen = item
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.state"
            state.save(path)
            loaded = rwkvcpp.State.load(path, MODEL)
        assert loaded == state
        self.check(loaded, fed, seen)
        return loaded, fed, seen

    @rule(target=states, item=states, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
    def pickle(self, item, protocol):
        state, fed, seen = item
        again = pickle.loads(pickle.dumps(state, protocol))
        assert again == state
        self.check(again, fed, seen)
        return again, fed, seen

    @rule(target=states, item=states)
    def to_list_and_back(self, item):
        state, fed, _ = item
        made = rwkvcpp.State.from_list(state.to_list(), MODEL)
        self.check(made, fed, 0)
        return made, fed, 0

    @rule(target=states, item=states, other=states)
    def assign_elements_of_another(self, item, other):
        state, _, seen = item
        copied = state.copy()
        for i, values in enumerate(other[0].to_list()):
            copied[i if i % 2 else copied.names[i]] = values
        self.check(copied, other[1], seen)
        return copied, other[1], seen

    @rule(item=states)
    def assign_the_same_elements(self, item):
        state, fed, seen = item
        for i in range(len(state)):
            state[i] = state[i]
        self.check(state, fed, seen)

    @rule(item=states)
    def refused_calls_change_nothing(self, item):
        state, fed, seen = item
        before = state.copy()
        for tokens in ([], [1, 1024], [-1], "a", None, [1, None]):
            with pytest.raises((rwkvcpp.TokenError, TypeError)):
                MODEL.forward(tokens, state)
        assert state == before
        self.check(state, fed, seen)

    @rule(item=consumes(states))
    def close(self, item):
        state = item[0]
        state.close()
        assert state.closed
        with pytest.raises(rwkvcpp.StateError, match="closed"):
            MODEL.forward(1, state)


TestStateMachine = StateMachine.TestCase
TestStateMachine.settings = settings(QUICK, max_examples=25, stateful_step_count=12)


@pytest.mark.parametrize("name", TOKENIZERS)
@MANY
@given(text=st.one_of(st.text(), st.text("aeo \n.User:é漢🙂\0"), st.binary()))
def test_encoded_text_decodes_to_itself(name, text):
    tokenizer = TOKENIZERS[name]
    tokens = tokenizer.encode(text)
    assert tokenizer.decode_bytes(tokens) == (text if isinstance(text, bytes) else text.encode())
    if isinstance(text, str):
        assert tokenizer.decode(tokens) == text


@pytest.mark.parametrize("name", TOKENIZERS)
@MANY
@given(data=st.binary(), tokens=st.lists(st.integers(0, 255)))
def test_pieces_of_a_stream_decoder_join_to_the_decoded_text(name, data, tokens):
    tokenizer = TOKENIZERS[name]
    for ids in (tokenizer.encode(data), tokens):
        decoder = tokenizer.stream_decoder()
        pieces = [decoder.push(token) for token in ids]
        assert "".join(pieces) + decoder.flush() == tokenizer.decode(ids, errors="replace")
        assert decoder.flush() == ""


LOGITS = st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=40)
CUTS = st.fixed_dictionaries({"top_p": st.floats(0, 1), "top_k": st.integers(0, 45), "min_p": st.floats(0, 1)})


@MANY
@given(logits=LOGITS, temperature=st.floats(0.05, 10), cuts=CUTS)
def test_a_distribution_sums_to_one_and_keeps_the_best_and_at_most_top_k(logits, temperature, cuts):
    probabilities = rwkvcpp.sampling_distribution(logits, temperature=temperature, **cuts)
    assert probabilities.shape == (len(logits),)
    assert abs(probabilities.sum(dtype=np.float64) - 1) < 1e-5
    assert (probabilities >= 0).all()
    assert probabilities[np.argmax(logits)] == probabilities.max() > 0
    if cuts["top_k"]:
        assert np.count_nonzero(probabilities) <= cuts["top_k"]


@MANY
@given(logits=LOGITS, cuts=CUTS)
def test_temperature_zero_is_greedy(logits, cuts):
    likeliest = np.float32(logits) == np.float32(max(logits))  # more than one may be; docs/sampling.md
    assert likeliest[rwkvcpp.Sampler(temperature=0, **cuts).sample(logits)]
    probabilities = rwkvcpp.sampling_distribution(logits, temperature=0, **cuts)
    assert not probabilities[~likeliest].any()
    assert abs(probabilities.sum() - 1) < 1e-6


@MANY
@given(logits=LOGITS, temperature=st.floats(0.05, 10), cuts=CUTS, seed=st.integers(0, 2**64 - 1))
def test_only_tokens_of_the_distribution_are_drawn_and_the_seed_decides(logits, temperature, cuts, seed):
    probabilities = rwkvcpp.sampling_distribution(logits, temperature=temperature, **cuts)
    samplers = [rwkvcpp.Sampler(temperature=temperature, seed=seed, **cuts) for _ in range(2)]
    for _ in range(5):
        tokens = [sampler.sample(logits) for sampler in samplers]
        assert tokens[0] == tokens[1]
        assert probabilities[tokens[0]] > 0
