# SPDX-License-Identifier: Apache-2.0
# A script that does its own sampling with PyTorch on what forward() returns, and makes its states with PyTorch.
# Run: python torch_tensors.py MODEL STRATEGY
import sys

import torch
from rwkv.model import RWKV
from torch.nn import functional as F

model = RWKV(model=sys.argv[1], strategy=sys.argv[2], verbose=False)
torch.manual_seed(0)


def draw(out, temperature=0.8, top_k=20):
    probabilities = F.softmax(out.float() / temperature, dim=-1)
    best, index = torch.topk(probabilities, top_k)
    return int(index[torch.multinomial(best / best.sum(), 1)])


out, state = model.forward([1, 2, 3], None)
tokens = []
for _ in range(8):
    tokens.append(draw(out))
    out, state = model.forward(tokens[-1:], state)
print("drawn:", len(tokens) == 8)
print("softmax:", abs(float(torch.softmax(out, dim=-1).sum()) - 1) < 1e-5)
print("greedy:", int(out.argmax(dim=-1)) == int(torch.argmax(out)) == int(torch.tensor(out).argmax()))
print("stacked:", torch.stack([out, out]).shape[0] == 2)

zero = []
for i in range(model.args.n_layer):
    where = model.strategy[i]
    for element in state[3 * i : 3 * i + 3]:
        zero.append(torch.zeros(tuple(element.shape), dtype=where.atype, device=where.device).contiguous())
if model.version == 4:
    zero = None
print("state of zeros:", torch.equal(torch.tensor(model.forward([4], zero)[0]), torch.tensor(model.forward([4], None)[0])))
half = [torch.tensor(element).to(torch.bfloat16) for element in state]
rounded = torch.tensor(model.forward([4], half)[0])
print("bfloat16 state:", bool(torch.isfinite(rounded).all()))
