# SPDX-License-Identifier: Apache-2.0
"""How many held-out questions of each kind the model answers exactly, always taking the likeliest token."""

import argparse
import random

import torch

import conversations
from model import CHUNK, Rwkv7
from questions import QUESTIONS
from vocab import N_VOCAB, Tokenizer
from world import HELD_OUT_SEED


def load(path):
    tensors = {name: tensor.float() for name, tensor in torch.load(path, map_location="cpu").items()}
    n_layer = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    model = Rwkv7(N_VOCAB, n_layer, tensors["emb.weight"].shape[1])
    model.load_state_dict(tensors)
    return model


@torch.no_grad()
def answered_exactly(model, tokenizer, turns):
    """Whether the last answer of `turns` is what the model would write, given everything before it."""
    text = "".join(f"User: {user}\n\nAssistant: {answer}\n\n" for user, answer in turns)
    tokens = tokenizer.encode(text)
    n_answer = len(tokenizer.encode(f" {turns[-1][1]}\n\n"))
    padded = torch.tensor([tokens + [0] * (-len(tokens) % CHUNK)])
    likeliest = model(padded)[0].argmax(-1).tolist()
    return likeliest[len(tokens) - n_answer - 1 : len(tokens) - 1] == tokens[-n_answer:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--count", type=int, default=100)
    args = parser.parse_args()
    model, tokenizer = load(args.checkpoint), Tokenizer()
    single = [(function.__name__, lambda rng, f=function: [f(rng)]) for function, _ in QUESTIONS]
    longer = [
        (name, getattr(conversations, name)) for name in ("facts", "given_story", "sums", "word_list", "with_memory")
    ]
    for name, draw in single + longer:
        rng = random.Random(HELD_OUT_SEED)
        right = sum(answered_exactly(model, tokenizer, draw(rng)) for _ in range(args.count))
        print(f"{name:18} {right:4} of {args.count}", flush=True)


if __name__ == "__main__":
    main()
