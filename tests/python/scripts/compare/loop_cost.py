# SPDX-License-Identifier: Apache-2.0
# What PIPELINE.generate() costs per token beyond forward() and sampling, and drawing beyond the distribution, with 65,536 logits and World text.
# Run: python loop_cost.py
import statistics
import time

import numpy as np

import rwkvcpp
from rwkvcpp._tensor import Tensor
from rwkvcpp.utils import PIPELINE, PIPELINE_ARGS

N_VOCAB, TOKENS = 65536, 500
generator = np.random.default_rng(0)
WIDTHS = {"sharp": 5.0, "wide": 2.0}


class Model:
    """Gives logits that were made before, and the time at which it did."""

    engine = None

    def __init__(self, width):
        self.rows = (generator.normal(size=(8, N_VOCAB)) * width).astype(np.float32)
        self.inside, self.calls = 0.0, 0

    def forward(self, tokens, state):
        start = time.perf_counter()
        out = self.rows[self.calls % 8].copy().view(Tensor)
        self.calls += 1
        self.inside += time.perf_counter() - start
        return out, None


def timed(function, times):
    def run(*args, **options):
        start = time.perf_counter()
        result = function(*args, **options)
        times.append(time.perf_counter() - start)
        return result

    return run


distribution = rwkvcpp.sampling_distribution
for name, width in WIDTHS.items():
    loops, draws = [], []
    for _ in range(5):
        model, in_sample, in_distribution = Model(width), [], []
        pipeline = PIPELINE(model, "rwkv_vocab_v20230424")
        pipeline.sample_logits = timed(pipeline.sample_logits, in_sample)
        rwkvcpp.utils.sampling_distribution = timed(distribution, in_distribution)
        start = time.perf_counter()
        pipeline.generate("Hello", TOKENS, PIPELINE_ARGS())
        loops.append((time.perf_counter() - start - model.inside - sum(in_sample)) / TOKENS * 1e6)
        draws.append((sum(in_sample) - sum(in_distribution)) / TOKENS * 1e6)
    print(
        f"{name}: loop {statistics.median(loops):.0f} us per token, drawing {statistics.median(draws):.0f} us, "
        f"distribution {sum(in_distribution) / TOKENS * 1e6:.0f} us"
    )
