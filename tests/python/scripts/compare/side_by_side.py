# SPDX-License-Identifier: Apache-2.0
# The rwkv package and the drop-in, side by side: logits, states, and texts drawn with the same seeds.
# Needs PyTorch and the package rwkv. Run: python side_by_side.py [--v7] MODEL... (with --v7 models of version 7 only)
import contextlib
import copy
import inspect
import io
import os
import sys

os.environ["RWKV_V7_ON"] = "1" if "--v7" in sys.argv else "0"
os.environ["RWKV_JIT_ON"] = os.environ["RWKV_CUDA_ON"] = "0"

import numpy as np
import rwkv.model
import rwkv.utils
import torch

import rwkvcpp.model
import rwkvcpp.utils

OPTIONS = [
    {},
    {"top_p": 0.5, "temperature": 1.3},
    {"top_k": 5, "alpha_frequency": 0.6, "alpha_decay": 0.9},
    {"top_p": 0},
    {"temperature": 0.7, "top_p": 0.95, "token_ban": [32], "token_stop": [46]},
]


class Bytes:
    def encode(self, text):
        return list(text.encode())

    def decode(self, tokens):
        try:
            return bytes(tokens).decode()
        except UnicodeDecodeError:
            return "\ufffd"


def texts(utils, model, n_vocab):
    """What generate() returns and gives to its callback, for each of OPTIONS."""
    pipeline = utils.PIPELINE.__new__(utils.PIPELINE)
    pipeline.model, pipeline.tokenizer = model, Bytes()
    results = []
    for seed, options in enumerate(OPTIONS):
        np.random.seed(seed)
        pieces = []
        prompt = "Once upon a time 12" if n_vocab == 256 else "AB12"
        results.append((pipeline.generate(prompt, 60, utils.PIPELINE_ARGS(**options), pieces.append), pieces))
    return results


def largest(pairs):
    return max(float(np.abs(a.numpy() - np.asarray(b)).max()) for a, b in pairs)


def compare(path):
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = rwkv.model.RWKV(path, "cpu fp32")
    ours = rwkvcpp.model.RWKV(path, "cpu fp32", verbose=False)
    n_vocab = ours.args.vocab_size
    tokens = np.random.default_rng(0).integers(0, n_vocab, 48).tolist()
    a, a_state = theirs.forward(tokens, None, full_output=True)
    b, b_state = ours.forward(tokens, None, full_output=True)
    print(f"{os.path.basename(path)}: logits {largest([(a, b)]):.1e}, state {largest(zip(a_state, b_state)):.1e}", end="")
    given = [tensor.clone() for tensor in a_state]
    steps = [(theirs.forward([1], copy.deepcopy(a_state))[0], ours.forward([1], given)[0])]
    a_state = b_state = None
    for token in tokens:
        a, a_state = theirs.forward([token], a_state)
        b, b_state = ours.forward([token], b_state)
        steps.append((a, b))
    print(f", with the package's state {largest(steps[:1]):.1e}, token by token {largest(steps):.1e}", end="")
    same = [x == y for x, y in zip(texts(rwkv.utils, theirs, n_vocab), texts(rwkvcpp.utils, ours, n_vocab))]
    print(f", equal texts {sum(same)} of {len(same)}")


torch.set_num_threads(1)
if "mmap" not in inspect.signature(torch.load).parameters:  # torch before 2.1, for which the package's version 7 is not made
    load = torch.load
    torch.load = lambda path, **options: load(path, map_location="cpu")
for path in sys.argv[1:]:
    if path != "--v7":
        compare(path)
