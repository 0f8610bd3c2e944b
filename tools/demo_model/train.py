# SPDX-License-Identifier: Apache-2.0
"""Trains the demo model on endless fresh text of the small world.

    python3 train.py --minutes 60 --out demo.pth | tee train.log

Runs with PyTorch 1.13 on a CPU. With a newer PyTorch, `--compile --bf16` is about twice as fast.
"""

import argparse
import math
import random
import time

import torch
import torch.nn.functional as F

from model import CHUNK, Rwkv7
from vocab import N_VOCAB, Tokenizer
from world import HELD_OUT_SEED, document

N_LAYER, N_EMBD = 4, 192
BATCH, TIME = 8, 384  # rows and tokens per row of a step; TIME is a multiple of CHUNK
LEARNING_RATE, LAST_LEARNING_RATE = 2e-3, 2e-5
WARM_UP_STEPS = 30
HELD_OUT_ROWS = 40
REPORT_STEPS, SAVE_SECONDS = 250, 180
END_OF_DOCUMENT = 0


def draw_row(tokenizer, rng, seeds, length):
    """Documents from `seeds`, packed: each ends with token 0. The state before the row is zero.

    Half of the rows start with the text itself, the others with token 0 or a line break, because users start both ways.
    """
    start = rng.choice([[], [], [END_OF_DOCUMENT], tokenizer.encode("\n")])
    row = list(start)
    while len(row) < length:
        row += tokenizer.encode(document(next(seeds))) + [END_OF_DOCUMENT]
    return row[:length]


def draw_batch(tokenizer, rng, seeds, n_row):
    """[n_row, TIME + 1] token ids."""
    return torch.tensor([draw_row(tokenizer, rng, seeds, TIME + 1) for _ in range(n_row)])


def seeds_from(first):
    while True:
        yield first
        first += 1


def make_optimizer(model):
    """Weight decay for the two-dimensional *.weight only; w0 learns twice as fast (the scale of its group)."""
    groups = {"decay": [], "w0": [], "rest": []}
    for name, parameter in model.named_parameters():
        is_matrix = name.endswith(".weight") and parameter.dim() == 2
        groups["decay" if is_matrix else "w0" if name.endswith("att.w0") else "rest"].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups["decay"], "weight_decay": 0.1, "scale": 1.0},
            {"params": groups["w0"], "weight_decay": 0.0, "scale": 2.0},
            {"params": groups["rest"], "weight_decay": 0.0, "scale": 1.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.99),
        eps=1e-18,
    )


def set_learning_rate(optimizer, step, fraction):
    """Linear warm-up, then a cosine over the fraction of the time that is spent."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    rate = LAST_LEARNING_RATE + (LEARNING_RATE - LAST_LEARNING_RATE) * cosine
    rate *= min(1.0, (step + 1) / WARM_UP_STEPS)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def loss_of(logits, targets):
    """Cross entropy, and a term whose gradient is 1e-4 * (largest logit) / tokens on the largest logit."""
    logits = logits.float().reshape(-1, N_VOCAB)
    entropy = F.cross_entropy(logits, targets.reshape(-1))
    return entropy, entropy + 0.5e-4 * logits.max(-1).values.square().mean()


@torch.no_grad()
def bits_per_byte(model, rows, byte_length):
    """Held-out bits per byte of text; byte_length [N_VOCAB]: bytes of each token, 0 for token 0."""
    nats = n_byte = 0.0
    for part in rows.split(BATCH):
        logits = model(part[:, :-1]).float()
        nats += F.cross_entropy(logits.reshape(-1, N_VOCAB), part[:, 1:].reshape(-1), reduction="sum").item()
        n_byte += byte_length[part[:, 1:]].sum().item()
    return nats / math.log(2) / n_byte


def save(model, path):
    torch.save({name: tensor.half().clone() for name, tensor in model.state_dict().items()}, path)


def train(model, args):
    tokenizer = Tokenizer()
    rng, seeds = random.Random(args.seed), seeds_from(0)
    held_out = draw_batch(tokenizer, random.Random(1), seeds_from(HELD_OUT_SEED), HELD_OUT_ROWS)
    byte_length = torch.tensor([len(tokenizer.token_of.get(i, b"")) for i in range(N_VOCAB)])
    optimizer = make_optimizer(model)
    forward = torch.compile(model) if args.compile else model
    step, trained, mean_loss, start, saved = 0, 0.0, 0.0, time.time(), time.time()
    while trained < args.minutes * 60:
        step_start = time.time()
        rate = set_learning_rate(optimizer, step, trained / (args.minutes * 60))
        batch = draw_batch(tokenizer, rng, seeds, BATCH)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            logits = forward(batch[:, :-1].contiguous())
        entropy, loss = loss_of(logits, batch[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean_loss = entropy.item() if step == 0 else 0.98 * mean_loss + 0.02 * entropy.item()
        step += 1
        if step > 1:  # the first step compiles
            trained += time.time() - step_start
        if step % REPORT_STEPS == 0:
            print(
                f"step {step}  {time.time() - start:.0f} s  lr {rate:.1e}  loss {mean_loss:.4f}  "
                f"held-out bits/byte {bits_per_byte(model, held_out, byte_length):.4f}",
                flush=True,
            )
        if time.time() - saved > SAVE_SECONDS:
            save(model, args.out + ".latest")
            saved = time.time()
    print(
        f"done: {step} steps of {BATCH * TIME} tokens, {time.time() - start:.0f} s, "
        f"held-out bits/byte {bits_per_byte(model, held_out, byte_length):.4f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", default="demo.pth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile (PyTorch 2)")
    parser.add_argument("--bf16", action="store_true", help="matrix products of the layers in bfloat16")
    args = parser.parse_args()
    assert TIME % CHUNK == 0
    torch.manual_seed(args.seed)
    model = Rwkv7(N_VOCAB, N_LAYER, N_EMBD)
    print(
        f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, compile {args.compile}, bf16 {args.bf16}; "
        f"{sum(p.numel() for p in model.parameters())} parameters, {N_LAYER} layers, width {N_EMBD}",
        flush=True,
    )
    train(model, args)
    save(model, args.out)


if __name__ == "__main__":
    main()
