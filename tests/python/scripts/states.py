# SPDX-License-Identifier: Apache-2.0
# What scripts do with states: copy, compare, save, change, start anew.
# Run: python states.py MODEL STRATEGY
import copy
import pickle
import sys

import numpy as np
from rwkv.model import RWKV

model = RWKV(model=sys.argv[1], strategy=sys.argv[2], verbose=False)
model.eval()


def logits(state, token=5):
    return model.forward([token], copy.deepcopy(state))[0].detach().cpu().numpy()


out, state = model.forward([1, 2, 3], None)
expected = logits(state)
deep = copy.deepcopy(state)
cloned = [element.clone() for element in state]
saved = pickle.dumps(state)
arrays = [element.cpu().numpy().copy() for element in state]
for token in (7, 8, 9):
    out, state = model.forward([token], state)
print("went on:", not np.array_equal(logits(state), expected))
for name, kept in [("deep copy", deep), ("clones", cloned), ("pickle", pickle.loads(saved)), ("arrays", arrays)]:
    print(f"{name}:", np.array_equal(logits(kept), expected))

per_layer = 5 if model.version == 4 else 3
print("layout:", len(deep) == per_layer * model.args.n_layer, deep[0].shape == (model.args.n_embd,))
halved = copy.deepcopy(deep)
for i in range(len(halved)):
    if halved[i].dim() == 3:
        halved[i] = halved[i] * 0.5
    else:
        halved[i][:] = 0
print("changed:", not np.array_equal(logits(halved), expected))
mean = [(a + b) / 2 for a, b in zip(deep, halved)]
print("blended:", logits(mean).shape == expected.shape)
first, _ = model.forward([4], None)
again, _ = model.forward(4, None) if model.version == 7 else model.forward([4], None)
print("None is the start:", np.array_equal(first.numpy(), again.numpy()))
