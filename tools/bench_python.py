#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Python costs: the import, and model.forward(token, state) with the bundled model, against the same loop in C++.

python tools/bench_python.py [--strategy "cpu fp32"] [--threads 1] [--runs 15]

The C++ side is build/release/tools/bench_forward; without it, the Python side is printed alone. Each run is the median of 2,000 calls
with the same token; Python and C++ run in turns, so that what disturbs one disturbs the other; each figure is the median of the runs.
The import is timed in a new process that has imported NumPy already.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time

import rwkvcpp

ROOT = pathlib.Path(__file__).resolve().parents[1]


IMPORT = """
import time
import numpy
start = time.perf_counter()
import rwkvcpp
print((time.perf_counter() - start) * 1e6)
"""


def import_us() -> float:
    return float(subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True).stdout)


def forward_us(model: rwkvcpp.Model) -> float:
    state = model.new_state()
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        model.forward(5, state)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def cpp_us(program: pathlib.Path, model: rwkvcpp.Model, threads: int) -> float:
    command = [str(program), model.path, model.strategy, str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(name: str, runs: list[float]) -> None:
    print(f"{name:<13} {statistics.median(runs):8.1f} us   ({min(runs):.1f} to {max(runs):.1f}, {len(runs)} runs)")


def main() -> None:
    parser = argparse.ArgumentParser(description="What Python costs.")
    parser.add_argument("--model", default=str(rwkvcpp.DEMO_MODEL))
    parser.add_argument("--strategy", default="cpu fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--cpp", type=pathlib.Path, default=ROOT / "build/release/tools/bench_forward")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error("--runs must be at least 1")

    model = rwkvcpp.Model(args.model, args.strategy, threads=args.threads)
    has_cpp = args.cpp.is_file()
    python, cpp = [], []
    forward_us(model)  # warms caches up
    for _ in range(args.runs):
        python.append(forward_us(model))
        if has_cpp:
            cpp.append(cpp_us(args.cpp, model, args.threads))

    row("import", [import_us() for _ in range(args.runs)])
    print(f"{model}, {args.threads} thread(s)")
    row("Python", python)
    if has_cpp:
        row("C++", cpp)
        row("Python - C++", [a - b for a, b in zip(python, cpp, strict=True)])
    else:
        print(f"{args.cpp} is not built: no C++ side", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
