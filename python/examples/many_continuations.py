# SPDX-License-Identifier: Apache-2.0
"""Reads a prompt once and writes many continuations at the same time: copies of one state, one batch, one sampler each.

python many_continuations.py
python many_continuations.py --prompt "One day, Anna" --count 8 --tokens 40
"""

import argparse
import sys

import rwkvcpp


def continuations(pipeline: rwkvcpp.Pipeline, prompt: str, count: int, n_tokens: int) -> list[str]:
    """Number i is drawn with the seed i."""
    model, tokenizer = pipeline.model, pipeline.tokenizer
    read = model.new_state()
    after_prompt = pipeline.read(prompt, read)  # logits, [n_vocab]
    states = [read.copy() for _ in range(count)]
    samplers = [
        rwkvcpp.Sampler(temperature=0.9, top_p=0.9, alpha_presence=0, alpha_frequency=0, seed=seed) for seed in range(count)
    ]
    tokens = [[sampler.sample(after_prompt)] for sampler in samplers] if n_tokens > 0 else []
    going_on = list(range(len(tokens)))
    while going_on:
        for i in going_on:
            samplers[i].accept(tokens[i][-1])  # for the penalties, here off
        going_on = [i for i in going_on if tokens[i][-1] != 0 and len(tokens[i]) < n_tokens]  # token 0 ends a document
        fed, of_these = [tokens[i][-1] for i in going_on], [states[i] for i in going_on]
        drawn = model.forward_batch(fed, of_these, samplers=[samplers[i] for i in going_on])
        for i, token in zip(going_on, drawn, strict=True):
            tokens[i].append(token)
    return [tokenizer.decode([token for token in text if token != 0]) for text in tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write many continuations of one prompt.")
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=30, help="at most, of each")
    args = parser.parse_args()
    if args.count < 1:
        parser.error("--count must be at least 1")

    pipeline = rwkvcpp.Pipeline(rwkvcpp.Model(args.model))
    for number, text in enumerate(continuations(pipeline, args.prompt, args.count, args.tokens)):
        print(f"{number}: {args.prompt}{text}\n")


if __name__ == "__main__":
    try:
        main()
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
