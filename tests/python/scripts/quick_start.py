# SPDX-License-Identifier: Apache-2.0
# First steps with the rwkv package: text from a prompt, then the same logits in one call and in three.
# Run: python quick_start.py MODEL STRATEGY
import os
import sys

os.environ["RWKV_V7_ON"] = "1"
os.environ["RWKV_JIT_ON"] = "1"
os.environ["RWKV_CUDA_ON"] = "0"

import numpy as np
from rwkv.model import RWKV
from rwkv.utils import PIPELINE, PIPELINE_ARGS

model = RWKV(model=sys.argv[1], strategy=sys.argv[2])
pipeline = PIPELINE(model, "rwkv_vocab_v20230424")

prompt = "User: What is 7 plus 8?\n\nAssistant:"
pieces = []


def show(text):
    pieces.append(text)
    print(text, end="", flush=True)


options = PIPELINE_ARGS(
    temperature=1.0,
    top_p=0.3,
    top_k=40,
    alpha_frequency=0.1,
    alpha_presence=0.1,
    alpha_decay=0.997,
    token_ban=[],
    token_stop=[0],
    chunk_len=8,
)
np.random.seed(1)
print(prompt, end="")
text = pipeline.generate(prompt, token_count=24, args=options, callback=show)
print("\n--")
np.random.seed(1)
print("again the same:", pipeline.generate(prompt, token_count=24, args=options) == text == "".join(pieces))

whole, state = model.forward([187, 51, 156, 31, 247], None)
print(whole.detach().cpu().numpy()[:3])
part, state = model.forward([187, 51], None)
part, state = model.forward([156], state)
part, state = model.forward([31, 247], state)
difference = np.abs(whole.detach().cpu().numpy() - part.detach().cpu().numpy()).max()
print("in parts the same:", bool(difference < 1e-4))
