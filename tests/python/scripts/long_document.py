# SPDX-License-Identifier: Apache-2.0
# Reads a long document in chunks and measures how well each token was predicted.
# Run: python long_document.py MODEL STRATEGY
import sys

import numpy as np
from rwkv.model import RWKV
from rwkv.utils import PIPELINE

model = RWKV(sys.argv[1], sys.argv[2], verbose=False)
pipeline = PIPELINE(model, "rwkv_vocab_v20230424")
document = pipeline.refine_context("  The cat sat down.  \r\n\n\n The dog ran home.\u3000\n" * 40)
tokens = pipeline.encode(document)


def log_softmax(rows):
    rows = rows.astype(np.float64) - rows.max(axis=-1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))


def loss(chunk):
    state, total = None, 0.0
    for start in range(0, len(tokens) - 1, chunk):
        part = tokens[start : start + chunk]
        targets = tokens[start + 1 : start + 1 + chunk]
        out, state = model.forward(part, state, full_output=True)
        rows = out.detach().cpu().numpy().reshape(len(part), -1)[: len(targets)]
        total -= log_softmax(rows)[np.arange(len(targets)), targets].sum()
    return total / (len(tokens) - 1)


losses = [loss(chunk) for chunk in (1, 7, 256)]
print("tokens:", len(tokens) > 100, "loss is finite:", bool(np.isfinite(losses).all()))
print("chunks do not matter:", max(losses) - min(losses) < 1e-4)
