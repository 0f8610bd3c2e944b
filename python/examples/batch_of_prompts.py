# SPDX-License-Identifier: Apache-2.0
"""Answers many questions in one batch: all prompts, of any lengths, are read at once, then every step draws one token for each.

python batch_of_prompts.py
python batch_of_prompts.py "What is 3 plus 4?" "What does a cow say?"
"""

import argparse
import sys
from collections.abc import Sequence

import rwkvcpp

QUESTIONS = ["What is 7 plus 8?", "What does a cow say?", "What day comes after Monday?", "What is the opposite of big?"]


def answers(pipeline: rwkvcpp.Pipeline, prompts: Sequence[str], most_tokens: int) -> list[str]:
    """The greedy text after each prompt, up to an empty line, the end of the document or `most_tokens`."""
    model = pipeline.model
    states = [model.new_state() for _ in prompts]
    samplers = [rwkvcpp.Sampler(temperature=0) for _ in prompts]
    decoders = [pipeline.tokenizer.stream_decoder() for _ in prompts]
    texts = ["" for _ in prompts]
    running = list(range(len(prompts)))  # which prompts have not ended
    fed: Sequence[int | list[int]] = [pipeline.tokenizer.encode(prompt) for prompt in prompts]
    for _ in range(most_tokens):
        tokens = model.forward_batch(fed, [states[i] for i in running], samplers=[samplers[i] for i in running])
        drawn = dict(zip(running, tokens, strict=True))
        for i in running:
            texts[i] += decoders[i].push(drawn[i])
        running = [i for i in running if drawn[i] != 0 and "\n\n" not in texts[i]]
        if not running:
            break
        fed = [drawn[i] for i in running]
    return [(text + decoder.flush()).split("\n\n")[0] for text, decoder in zip(texts, decoders, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer many questions in one batch.")
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    parser.add_argument("--tokens", type=int, default=100, help="at most, of each answer")
    args = parser.parse_args()

    pipeline = rwkvcpp.Pipeline(rwkvcpp.Model(args.model))
    prompts = [f"User: {question}\n\nAssistant:" for question in args.questions]
    for question, answer in zip(args.questions, answers(pipeline, prompts, args.tokens), strict=True):
        print(f"{question}\n   {answer.strip()}")


if __name__ == "__main__":
    try:
        main()
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
