# SPDX-License-Identifier: Apache-2.0
"""forward_batch() with samplers: the tokens that sample() draws from the logits; what is refused and what a broken text leaves."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rwkvcpp

TEXTS = [[817, 584, 270, 382], [5], list(range(40))]
OPTIONS = [{"seed": 1}, {"temperature": 0}, {"temperature": 1.5, "top_p": 1, "token_ban": [3, 50], "seed": 3}]


def samplers():
    """One for each text, with tokens counted before."""
    made = [rwkvcpp.Sampler(**options) for options in OPTIONS]
    for sampler in made:
        sampler.accept(7)
        sampler.accept(266)
    return made


def broken_state(model):
    state = model.new_state()
    state[0][:] = np.nan
    return state


def test_tokens_are_those_of_sample(demo):
    drawing, same = samplers(), samplers()
    states = [demo.new_state() for _ in TEXTS]
    copies = [state.copy() for state in states]
    fed = TEXTS
    for _ in range(8):
        logits = demo.forward_batch(fed, copies)
        expected = [sampler.sample(row) for sampler, row in zip(same, logits, strict=True)]
        fed = demo.forward_batch(fed, states, samplers=drawing)
        assert fed == expected
        assert all(type(token) is int for token in fed)
        for sampler, other, token in zip(drawing, same, fed, strict=True):
            sampler.accept(token)
            other.accept(token)
    assert states == copies


def test_tokens_are_not_counted(demo):
    """Counted, the likeliest token would lose to another one."""
    sampler = rwkvcpp.Sampler(temperature=0, alpha_presence=100)
    first, second = (demo.forward_batch([TEXTS[0]], samplers=[sampler]) for _ in range(2))
    assert first == second == [int(demo.forward(TEXTS[0]).argmax())]
    sampler.accept(first[0])
    assert demo.forward_batch([TEXTS[0]], samplers=[sampler]) != first


def test_a_text_without_a_sampler_is_fed(demo):
    states = [demo.new_state() for _ in range(2)]
    tokens = demo.forward_batch(TEXTS[:2], states, samplers=[None, rwkvcpp.Sampler(temperature=0)])
    assert tokens == [None, int(demo.forward(TEXTS[1]).argmax())]
    assert [state.tokens_seen for state in states] == [4, 1]
    assert demo.forward_batch([], samplers=[]) == []


def test_what_is_no_list_of_samplers_is_refused(demo):
    one, state = rwkvcpp.Sampler(), demo.new_state()
    for wrong in ([], [one] * 2, one, 5):
        with pytest.raises(rwkvcpp.ArgumentError, match="samplers must be a list of 1"):
            demo.forward_batch([[1]], [state], samplers=wrong)
    with pytest.raises(rwkvcpp.ArgumentError, match="share one sampler"):
        demo.forward_batch([[1], [2]], samplers=[one, one])
    with pytest.raises(rwkvcpp.ArgumentError, match="all_logits"):
        demo.forward_batch([[1]], [state], all_logits=True, samplers=[one])
    for wrong in ([5], ["sampler"], "s"):
        with pytest.raises(TypeError, match="samplers must be rwkvcpp.Sampler or None"):
            demo.forward_batch([[1]], [state], samplers=wrong)
    with pytest.raises(rwkvcpp.TokenError, match="1024"):
        demo.forward_batch([[1]], [state], samplers=[rwkvcpp.Sampler(token_ban=[1024])])
    assert state.tokens_seen == 0
    assert one.sample([0.0, 50.0]) == 1  # nobody has it any more


def test_a_closed_model_draws_nothing():
    with rwkvcpp.load_demo() as model:
        pass
    with pytest.raises(rwkvcpp.ArgumentError, match="closed"):
        model.forward_batch([[1]], samplers=[rwkvcpp.Sampler()])


def test_broken_logits_are_reported_with_the_tokens_of_the_others(demo):
    states = [demo.new_state(), broken_state(demo), demo.new_state()]
    with pytest.raises(rwkvcpp.NumericError, match="sequence 1: the logit of token 0 is NaN") as caught:
        demo.forward_batch(TEXTS, states, samplers=[rwkvcpp.Sampler(temperature=0), rwkvcpp.Sampler(), None])
    assert caught.value.tokens == [int(demo.forward(TEXTS[0]).argmax()), None, None]
    assert [state.tokens_seen for state in states] == [len(text) for text in TEXTS]
    with pytest.raises(rwkvcpp.NumericError) as caught:
        rwkvcpp.Sampler().sample([np.nan])
    assert caught.value.tokens is None


@pytest.mark.threads
def test_a_sampler_in_use_by_a_long_call_refuses_everything_else(demo):
    sampler, long = rwkvcpp.Sampler(temperature=0), [i * 7 % 1000 for i in range(3000)]
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(demo.forward_batch, [long], samplers=[sampler])
        time.sleep(0.05)
        for call in (lambda: sampler.sample([0.0, 1.0]), lambda: sampler.accept(1), sampler.reset,
                     lambda: demo.forward_batch([[1]], samplers=[sampler])):
            with pytest.raises(rwkvcpp.ArgumentError, match="another call is using it"):
                call()
            assert not future.done(), "the long call is over"
        assert repr(sampler).startswith("Sampler(temperature=0.0")
        assert future.result(60) == [int(demo.forward(long).argmax())]
    assert sampler.sample([0.0, 1.0]) == 1
