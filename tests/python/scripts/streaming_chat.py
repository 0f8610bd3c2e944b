# SPDX-License-Identifier: Apache-2.0
# A chat that keeps its state and prints the answer token by token, with penalties kept in the script.
# Run: python streaming_chat.py MODEL STRATEGY
import copy
import re
import sys

import numpy as np
from rwkv.model import RWKV
from rwkv.utils import PIPELINE

model = RWKV(model=sys.argv[1], strategy=sys.argv[2], verbose=False)
pipeline = PIPELINE(model, "rwkv_vocab_v20230424")
history = []
state = None


def read(text):
    """Feeds a text in chunks; the logits after its end."""
    global state
    tokens = [int(token) for token in pipeline.encode(text.replace("\r\n", "\n"))]
    history.extend(tokens)
    while len(tokens) > 0:
        out, state = model.forward(tokens[:16], state)
        tokens = tokens[16:]
    return out


def answer(question, limit):
    global state
    question = re.sub(r"\n+", "\n", question.strip())
    out = read(f"User: {question}\n\nAssistant:")
    occurrence, tokens, shown, text = {}, [], 0, ""
    for i in range(limit):
        for n in occurrence:
            out[n] -= 0.4 + occurrence[n] * 0.4
        out[0] -= 1e10  # no end of text
        token = pipeline.sample_logits(out, temperature=1.0, top_p=0.3)
        out, state = model.forward([token], state)
        history.append(token)
        tokens.append(token)
        for n in occurrence:
            occurrence[n] *= 0.996
        occurrence[token] = 1 + occurrence.get(token, 0)
        piece = pipeline.decode(tokens[shown:])
        if "\ufffd" not in piece and not piece.endswith("\n"):
            print(piece, end="", flush=True)
            text += piece
            shown = i + 1
        if "\n\n" in piece:
            break
    print()
    return text


np.random.seed(3)
read("User: hi\n\nAssistant: Hi. I will answer your questions.\n\n")
before = copy.deepcopy(state)
first = answer("What is 7 plus 8?", 20)
state = before
before = copy.deepcopy(state)
np.random.seed(3)
one = answer("What is 2 plus 3?", 20)
state = before
np.random.seed(3)
two = answer("What is 2 plus 3?", 20)
print("retried from a copy of the state:", one == two)
print("history is text:", pipeline.decode(history[:5]).startswith("User"))
