# SPDX-License-Identifier: Apache-2.0
"""Draws what `rwkv-bench --json` printed: bench_plot.py PICTURE.png [RESULT.json ...]. Without files it reads stdin.

Several results, one per strategy, stand side by side: the share of the machine's limit per type, and speed against the
length of the prompt. A result of `rwkv-bench --long` becomes time, memory and attention along its tokens.
"""

import json
import sys

import matplotlib
import matplotlib.ticker

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def label(run):
    return run["strategy"].removeprefix("cpu ")


def rows(run, what):
    return [row for row in run["results"] if row["what"] == what]


def name(row):
    several = f"{row['batch']} x " if row["batch"] > 1 else ""
    return {"decode": "decode", "prefill": f"prefill {several}{row['tokens']}", "batch": f"batch {row['batch']}"}[row["what"]]


def draw_shares(axes, runs):
    """A group of bars per kind of work, a bar per strategy."""
    names = list(dict.fromkeys(name(row) for run in runs for row in run["results"] if "share" in row))
    width = 0.8 / len(runs)
    for i, run in enumerate(runs):
        shares = {name(row): 100 * row["share"] for row in run["results"] if "share" in row}
        places = [names.index(n) + (i - (len(runs) - 1) / 2) * width for n in shares]
        axes.bar(places, shares.values(), width, label=label(run))
    axes.axhline(100, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set(ylabel="% of the limit", title="Share of the machine's limit")
    axes.legend()


def draw_prompts(axes, runs):
    for run in runs:
        prompts = sorted((row["tokens"], row["tok_s"]) for row in rows(run, "prefill") if row["batch"] == 1)
        if prompts:
            axes.plot(*zip(*prompts), marker="o", label=label(run))
    axes.set(xlabel="tokens of the prompt", ylabel="tokens per second", title="Speed against prompt length")
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend()


def draw_long(run, picture):
    points = rows(run, "long")
    tokens = [p["tokens"] for p in points]
    figure, (time, memory, work) = plt.subplots(1, 3, figsize=(13, 4))
    time.plot(tokens, [1e6 / p["tok_s"] for p in points], label="RWKV, measured")
    time.plot(tokens, [p["kv_cache_bytes"] / p["limit_gb_s"] / 1e3 for p in points], "--", label="reading the KV cache alone, computed")
    time.set(ylabel="µs per token", title="Time of a token", yscale="log")
    memory.plot(tokens, [p["rss_mib"] for p in points], label="RWKV: whole process, measured")
    memory.plot(tokens, [p["state_bytes"] / 2**20 for p in points], label="RWKV: state")
    memory.plot(tokens, [p["kv_cache_bytes"] / 2**20 for p in points], "--", label="KV cache, computed")
    memory.set(ylabel="MiB", title="Memory", yscale="log")
    work.plot(tokens, [p["attention_flop"] / 1e6 for p in points], "C1--", label="attention, computed")
    work.set(ylabel="million operations", title="Attention of a token")
    for axes in (time, memory, work):
        axes.set(xlabel="tokens read so far")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
        axes.legend()
    work.set_ylim(bottom=0)
    figure.suptitle(f"{run['model']}, {run['strategy']}, beside a transformer of the same width and depth\n{run['machine']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def draw(runs, picture):
    if any(rows(run, "long") for run in runs):
        if len(runs) > 1:
            raise SystemExit("bench_plot.py: give the result of one --long run alone")
        return draw_long(runs[0], picture)
    figure, (shares, prompts) = plt.subplots(1, 2, figsize=(13, 4.5), width_ratios=(3, 2))
    draw_shares(shares, runs)
    draw_prompts(prompts, runs)
    figure.suptitle(f"{runs[0]['model']}, {runs[0]['threads']} threads\n{runs[0]['machine']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main(arguments):
    if arguments == ["--check"]:  # matplotlib is there
        return
    if not arguments:
        raise SystemExit(__doc__)
    picture, *files = arguments
    runs = []
    for file in files or ["/dev/stdin"]:
        with open(file, encoding="utf-8") as stream:
            runs += [json.loads(line) for line in stream if line.strip()]
    draw(runs, picture)


if __name__ == "__main__":
    main(sys.argv[1:])
