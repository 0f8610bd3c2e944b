# SPDX-License-Identifier: Apache-2.0
# Many prompts with one beginning: its state is computed once and copied for each; answers go to a list of records.
# Run: python batch.py MODEL STRATEGY
import copy
import json
import sys

from rwkv.model import RWKV
from rwkv.utils import PIPELINE, PIPELINE_ARGS

model = RWKV(model=sys.argv[1], strategy=sys.argv[2], verbose=False)
pipeline = PIPELINE(model, "rwkv_vocab_v20230424")
args = PIPELINE_ARGS(temperature=0, top_p=0, alpha_frequency=0, alpha_presence=0, token_stop=[0])

shared = "User: hi\n\nAssistant: Hi.\n\n"
_, start = model.forward(pipeline.encode(shared), None)
questions = [f"User: What is {a} plus {b}?\n\nAssistant:" for a, b in [(1, 2), (3, 4), (5, 6)]]
records = []
for question in questions:
    records.append({"question": question, "answer": pipeline.generate(question, 12, args, state=copy.deepcopy(start))})
print(json.dumps(records))
again = [pipeline.generate(question, 12, args, state=copy.deepcopy(start)) for question in questions]
print("repeatable:", again == [record["answer"] for record in records])
apart = pipeline.encode(shared) + pipeline.encode(questions[0])
_, state = model.forward(apart[:-1], None)
out, state = model.forward(apart[-1:], state)
first = pipeline.sample_logits(out, temperature=0)
print("as from the whole prompt:", records[0]["answer"].startswith(pipeline.decode([first])))
