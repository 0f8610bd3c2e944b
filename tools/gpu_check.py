# SPDX-License-Identifier: Apache-2.0
"""The checks of tools/gpu_check.sh, which says what they are for: runs them in order of importance until the time is up, and writes
one JSON file and one page about it."""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

BUDGET = 600  # seconds, with the build
SPARE = 10  # of them for the report
NO_MEMORY = 4  # rwkv-bench's exit code, docs/cli.md

# In order of importance: what the goals are about, then both ends of the sizes.
MEASURED = [("v7-1.5b", "fp16"), ("v7-7.2b", "fp16"), ("v7-1.5b", "fp16i8"), ("v7-1.5b", "fp16i4"),
            ("v7-1.5b", "fp16", "--fp16-state"), ("v7-0.4b", "fp16"),
            ("v7-0.1b", "fp16"), ("v7-2.9b", "fp16"), ("v7-7.2b", "fp16i8"), ("v7-7.2b", "fp16i4"), ("v7-0.4b", "fp16i8"),
            ("v7-0.4b", "fp16i4"), ("v7-0.1b", "fp16i8"), ("v7-0.1b", "fp16i4"), ("v7-2.9b", "fp16i8"), ("v7-2.9b", "fp16i4")]
BEFORE_SANITIZER = 5  # of them

WORK = ["--decode", "64", "--batch", "8,32,128,320", "--prefill", "1024,32x1024", "--repeat", "3"]

# Tokens per second on an H200 that this backend is written for: model, type, work of size_text().
GOALS = {("v7-1.5b", "fp16", "decode"): 1100, ("v7-7.2b", "fp16", "decode"): 250, ("v7-1.5b", "fp16", "decode, batch 32"): 22000,
         ("v7-1.5b", "fp16", "decode, batch 320"): 75000, ("v7-1.5b", "fp16", "prefill 1 x 1024"): 80000,
         ("v7-1.5b", "fp16i8", "decode"): 1700, ("v7-1.5b", "fp16i4", "decode"): 2200}

# Errors that calls return are the subject of some tests. Sanitizers look at kernels: not at what needs none.
SANITIZER = ["--error-exitcode", "9", "--report-api-errors", "no"]
KERNEL_TESTS = "--gtest_filter=Cuda*:-CudaDevice*:CudaMemory*:CudaScratch*:CudaLimits*"


class Step:
    """A program with its place in the report: kind is "tests", "sanitizer" or "speed"."""

    def __init__(self, kind, name, command, seconds, output=None):
        self.kind, self.name, self.command, self.seconds, self.output = kind, name, command, seconds, output


def steps(build, sanitizer):
    """All, in order of importance; sanitizer: the path of compute-sanitizer, or None."""
    def tests(program):
        output = build / f"{program}.json"
        return Step("tests", program, [build / "tests/cuda" / program, f"--gtest_output=json:{output}"], 150, output)

    def sanitizing(tool):
        return Step("sanitizer", tool, [sanitizer, "--tool", tool, *SANITIZER, build / "tests/cuda/cuda_tests", "--gtest_brief=1",
                                        KERNEL_TESTS], 90)

    def speed(model, type_, *flags):
        return Step("speed", " ".join([model, type_, *flags]),
                    [build / "tools/rwkv-bench", "--synthetic", model, "--strategy", f"cuda {type_}", *flags, "--json", *WORK], 90)

    yield from map(tests, ["cuda_tests", "cuda_engine_tests"])
    yield from (speed(*what) for what in MEASURED[:BEFORE_SANITIZER])
    if sanitizer:
        yield from map(sanitizing, ["memcheck", "racecheck"])
    yield from (speed(*what) for what in MEASURED[BEFORE_SANITIZER:])


def call(command, seconds):
    """As subprocess.run(); but what is not done in time ends with all that it has started, as compute-sanitizer has the tests: they
    would take the card from the steps behind."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          env={**os.environ, "RWKV_REQUIRE_DEVICE": "cuda"}) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def run(all_steps, end):
    """What each step gave, as dictionaries; those that time.monotonic() == end leaves out or interrupts have the result "cut". Tests
    that take longer than they may have failed: they hang."""
    for step in all_steps:
        record = {"kind": step.kind, "name": step.name}
        left = min(step.seconds, end - time.monotonic())
        if left < 1:
            yield {**record, "result": "cut"}
            continue
        if step.output:
            step.output.unlink(missing_ok=True)
        start = time.monotonic()
        try:
            done = call(step.command, left)
        except subprocess.TimeoutExpired as expired:
            record |= {"result": "cut", "seconds": round(time.monotonic() - start, 1)}
            if step.kind == "tests" and left == step.seconds:
                said = (expired.stdout or b"") + (expired.stderr or b"")
                record |= {"result": "failed", "output": said.decode(errors="replace")[-4000:] + f"no end after {left} s"}
            yield record
            continue
        record |= {"result": "passed" if done.returncode == 0 else "failed", "seconds": round(time.monotonic() - start, 1)}
        if done.returncode != 0:
            record["output"] = (done.stdout + done.stderr)[-4000:]
            if step.kind == "sanitizer" and "Device not supported" in record["output"]:  # some virtual machines
                record["result"] = "skipped"
            if step.kind == "speed" and done.returncode == NO_MEMORY:
                record["result"] = "skipped"
        if step.output and step.output.exists():
            record |= counts(json.loads(step.output.read_text()))
        if step.kind == "speed" and done.returncode == 0:
            record["bench"] = json.loads(done.stdout)
        yield record


def failed(records):
    """Whether the card has not passed. Tests that there was no time for have shown nothing."""
    return any(record["result"] == "failed" or record["kind"] == "tests" and record["result"] == "cut" for record in records)


def counts(gtest):
    """Of GoogleTest's JSON."""
    cases = [case for suite in gtest["testsuites"] for case in suite["testsuite"]]
    return {"tests": len(cases), "failures": [f"{case['classname']}.{case['name']}" for case in cases if "failures" in case],
            "skipped": sum(case["result"] == "SKIPPED" for case in cases)}


def size_text(row):
    several = row["batch"] > 1
    if row["what"] == "prefill":
        return f"prefill {row['batch']} x {row['tokens']}"
    return f"decode, batch {row['batch']}" if several else "decode"


def speed_rows(record, goals):
    """Lines of the table of speeds. What is moved: weights, and each sequence's state in and out."""
    model, type_, *_ = record["name"].split()
    for row in record["bench"]["results"]:
        if row["what"] == "load":
            continue
        moved = row["bytes_per_token"] + row["state_bytes_per_token"]
        gb_s = moved * row["tok_s"] / 1e9
        goal = goals.get((model, type_, size_text(row)))
        yield (f"| {record['name']} | {size_text(row)} | {row['tok_s']:,.0f} | {f'{goal:,}' if goal else ''} | {moved / 1e6:,.1f} | "
               f"{gb_s:,.0f} | {100 * gb_s / row['limit_gb_s']:.0f} % | {row['gflop_s'] / 1e3:,.1f} | "
               f"{100 * row['gflop_s'] / row['limit_gflop_s']:.0f} % |")


def check_line(record):
    details = []
    if "tests" in record:
        details.append(f"{record['tests']} tests, {len(record['failures'])} failed, {record['skipped']} skipped")
    details += record.get("failures", [])
    details += record.get("output", "").strip().splitlines()[-1:]
    return f"| {record['name']} | {record['result']} | {record.get('seconds', '')} | {'; '.join(details)} |"


def page(report):
    records, measured = report["steps"], [record for record in report["steps"] if "bench" in record]
    lines = [f"# {report['card']}, {report['date']}", "",
             f"Driver {report['driver']}, commit {report['commit']}; written by `tools/gpu_check.sh` in {report['seconds']} s.", "",
             "| check | result | seconds | |", "|---|---|---|---|", *map(check_line, records), ""]
    cut = [record["name"] for record in records if record["result"] == "cut"]
    if cut:
        lines += [f"Cut for time: {', '.join(cut)}.", ""]
    if not any(record["kind"] == "sanitizer" for record in records):
        lines += ["No compute-sanitizer here: its checks were skipped.", ""]
    if measured:
        limits = [row for record in measured for row in record["bench"]["results"] if "limit_gb_s" in row]
        bandwidth, peak = ([row[key] for row in limits] for key in ("limit_gb_s", "limit_gflop_s"))
        lines += ["Medians of three samples of `rwkv-bench --synthetic` with random weights, half of whose squared ReLU is zero (trained "
                  "models: some 90 %). A decode step", "draws the likeliest token of each sequence on the card. MB per token: all weights but "
                  "the embedding table, shared by the sequences of a step, and", "each sequence's state read and written. Shares are of the "
                  "card's own limits, read before and after each sample: a copy "
                  f"of {min(bandwidth):,.0f} to {max(bandwidth):,.0f} GB/s (read and written), fp16 products of "
                  f"{min(peak) / 1e3:,.0f} to {max(peak) / 1e3:,.0f} TFLOP/s.", "",
                  "| model | work | tok/s | goal | MB per token | GB/s | of copy | TFLOP/s | of peak |", "|---" * 9 + "|"]
        goals = GOALS if "H200" in report["card"] else {}
        lines += [line for record in measured for line in speed_rows(record, goals)]
    return "\n".join(lines).rstrip() + "\n"


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("build", "card", "driver", "since"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    since = float(options.since)
    end = time.monotonic() + BUDGET - SPARE - (time.time() - since)
    records = []
    for record in run(steps(pathlib.Path(options.build).resolve(), shutil.which("compute-sanitizer")), end):
        print(f"{record['name']}: {record['result']}", flush=True)
        records.append(record)
    date = datetime.date.today().isoformat()
    report = {"card": options.card, "driver": options.driver, "date": date, "commit": commit(),
              "seconds": round(time.time() - since), "steps": records}
    folder = pathlib.Path("docs/results")
    folder.mkdir(exist_ok=True)
    name = f"{date}-{re.sub('[^A-Za-z0-9.]+', '-', options.card)}"
    (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / f"{name}.md").write_text(page(report))
    print(f"docs/results/{name}.md")
    return failed(records)


if __name__ == "__main__":
    raise SystemExit(main())
