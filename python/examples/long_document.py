# SPDX-License-Identifier: Apache-2.0
"""Reads a text of any length in constant memory, then answers a question. (Linux: memory is read from /proc.)

python long_document.py                          # a generated text of some 256 KiB
python long_document.py book.txt --model model.pth --question "Who is the captain?"
"""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import rwkvcpp

PIECE = 16384  # characters; a token that crosses two pieces is read as two, which happens too seldom to matter


def pieces_of(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        while piece := file.read(PIECE):
            yield piece


def generated(size: int) -> Iterator[str]:
    draw = random.Random(1)
    for _ in range(max(1, size // PIECE)):
        sentences = (f"{draw.choice(['Anna', 'Tom', 'Mia'])} has {draw.randint(2, 9)} apples.\n\n" for _ in itertools.count())
        yield "".join(itertools.islice(sentences, PIECE // 20))


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Read a long text in constant memory.")
    parser.add_argument("file", nargs="?", help="the text; default: a generated one")
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    parser.add_argument("--kib", type=int, default=256, help="length of the generated text")
    parser.add_argument("--question", default="What is 7 plus 8?")
    args = parser.parse_args()

    pipeline = rwkvcpp.Pipeline(rwkvcpp.Model(args.model))
    state = pipeline.model.new_state()
    first_peak, start = 0.0, time.perf_counter()
    for piece in pieces_of(args.file) if args.file else generated(args.kib * 1024):
        pipeline.read(piece, state)
        first_peak = first_peak or peak_mib()
    seconds = time.perf_counter() - start
    print(f"{state.tokens_seen} tokens in {seconds:.1f} s, {state.tokens_seen / seconds:.0f} tokens/s")
    print(f"state: {state.nbytes} bytes; memory after the first piece grew by {peak_mib() - (first_peak or peak_mib()):.1f} MiB")

    prompt = f"User: {args.question}\n\nAssistant:"
    print(prompt + pipeline.generate(prompt, 60, state=state, temperature=0, stop="\n\n", token_stop=0))


if __name__ == "__main__":
    try:
        main()
    except (rwkvcpp.RwkvError, OSError) as error:
        sys.exit(f"error: {error}")
