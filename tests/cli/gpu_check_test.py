# SPDX-License-Identifier: Apache-2.0
"""tools/gpu_check: its order, its limit of time and its page, with programs that need no card."""
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
import unittest
from unittest import mock

from program import SOURCE, Case

sys.path.insert(0, str(SOURCE / "tools"))
import cuda_estimate  # noqa: E402
import gpu_check  # noqa: E402


def report(records, card="Some Card"):
    return {"card": card, "driver": "580.1", "date": "2026-01-02", "commit": "abc", "seconds": 7, "steps": records}


class Steps(Case):
    def test_tests_come_first_then_what_the_goals_are_about(self):
        names = [step.name for step in gpu_check.steps(self.folder, "compute-sanitizer")]
        self.assertEqual(names[:7], ["cuda_tests", "cuda_engine_tests", "v7-1.5b fp16", "v7-7.2b fp16", "v7-1.5b fp16i8", "v7-1.5b fp16i4",
                                     "v7-1.5b fp16 --fp16-state"])
        self.assertEqual(names[7:9], ["memcheck", "racecheck"])
        speeds = [f"v7-{size} {type_}" for size in ("0.1b", "0.4b", "1.5b", "2.9b", "7.2b") for type_ in ("fp16", "fp16i8", "fp16i4")]
        self.assertEqual(sorted(names[2:7] + names[9:]), sorted([*speeds, "v7-1.5b fp16 --fp16-state"]))
        self.assertNotIn("memcheck", [step.name for step in gpu_check.steps(self.folder, None)])

    def test_what_takes_too_long_and_what_comes_after_the_end_is_cut(self):
        programs = [("good", "", 60), ("slow", "import time; time.sleep(60)", 2), ("bad", "exit('why')", 60)]
        steps = [gpu_check.Step("sanitizer", name, [sys.executable, "-c", text], seconds) for name, text, seconds in programs]
        records = list(gpu_check.run(steps, time.monotonic() + 100))
        self.assertEqual([record["result"] for record in records], ["passed", "cut", "failed"])
        self.assertIn("why", records[2]["output"])
        self.assertEqual([record["result"] for record in gpu_check.run(steps, time.monotonic())], ["cut"] * 3)

    def test_tests_that_hang_have_failed_at_the_one_that_runs(self):
        hang = [sys.executable, "-c", "import time; print('[ RUN ] A.b', flush=True); time.sleep(60)"]
        for seconds, left, result in ((2, 100, "failed"), (60, 2, "cut")):
            record, = gpu_check.run([gpu_check.Step("tests", "hangs", hang, seconds)], time.monotonic() + left)
            self.assertEqual(record["result"], result)
        record, = gpu_check.run([gpu_check.Step("tests", "hangs", hang, 2)], time.monotonic() + 100)
        self.assertEqual(record["output"], "[ RUN ] A.b\nno end after 2 s")

    def test_nothing_that_was_cut_stays_on_the_card(self):
        fifo = self.folder / "open while it runs"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        sanitizer = ["bash", "-c", 'sleep 60 > "$0" & wait', fifo]  # which runs the tests as a program of their own
        record, = gpu_check.run([gpu_check.Step("sanitizer", "slow", sanitizer, 2)], time.monotonic() + 100)
        self.assertEqual(record["result"], "cut")
        self.assertEqual(select.select([reader], [], [], 10)[0], [reader])  # as it is closed
        self.assertEqual(os.read(reader, 1), b"")

    def test_models_that_a_card_has_no_memory_for_are_skipped(self):
        for kind, result in (("speed", "skipped"), ("tests", "failed")):
            step = gpu_check.Step(kind, "large", [sys.executable, "-c", "import sys; print('needs 9 MiB'); sys.exit(4)"], 60)
            record, = gpu_check.run([step], time.monotonic() + 100)
            self.assertEqual((record["result"], record["output"]), (result, "needs 9 MiB\n"))

    def test_a_card_has_passed_when_all_its_tests_have_and_nothing_failed(self):
        def failed(*kinds_and_results):
            return gpu_check.failed([{"kind": kind, "result": result} for kind, result in kinds_and_results])
        self.assertFalse(failed(("tests", "passed"), ("sanitizer", "cut"), ("speed", "skipped"), ("speed", "cut")))
        self.assertTrue(failed(("tests", "passed"), ("speed", "failed")))
        self.assertTrue(failed(("tests", "passed"), ("tests", "cut")))  # after a build that took all the time

    def test_failures_are_taken_from_the_output_of_googletest(self):
        cases = [{"classname": "A", "name": name, **more} for name, more in (
            ("b", {"result": "COMPLETED"}), ("c", {"result": "COMPLETED", "failures": []}), ("d", {"result": "SKIPPED"}))]
        self.assertEqual(gpu_check.counts({"testsuites": [{"testsuite": cases}]}), {"tests": 3, "failures": ["A.c"], "skipped": 1})

    def test_a_machine_without_a_driver_is_told_so(self):
        if shutil.which("nvidia-smi"):
            self.skipTest("skipped: there is an NVIDIA driver here")
        done = subprocess.run(["bash", SOURCE / "tools/gpu_check.sh"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no NVIDIA driver", done.stderr)


class Page(Case):
    def test_it_names_what_failed_and_what_was_cut(self):
        page = gpu_check.page(report([
            {"kind": "tests", "name": "cuda_tests", "result": "failed", "seconds": 3.5, "tests": 9, "failures": ["CudaNorm.X"],
             "skipped": 1},
            {"kind": "speed", "name": "v7-0.1b fp16", "result": "failed", "seconds": 0.1, "output": "some\nreason\n"},
            {"kind": "speed", "name": "v7-7.2b fp16", "result": "cut"}]))
        self.assertIn("# Some Card, 2026-01-02\n\nDriver 580.1, commit abc;", page)
        self.assertIn("| cuda_tests | failed | 3.5 | 9 tests, 1 failed, 1 skipped; CudaNorm.X |", page)
        self.assertIn("| v7-0.1b fp16 | failed | 0.1 | reason |", page)
        self.assertIn("Cut for time: v7-7.2b fp16.", page)
        self.assertIn("No compute-sanitizer here", page)

    def test_speeds_of_a_real_run_stand_beside_bytes_shares_and_goals(self):
        done = self.run_program("rwkv-bench", "-m", self.model, "--strategy", "cpu fp16", "--json", "--decode", "2", "--batch", "3",
                                "--prefill", "5,3x4", "--repeat", "1", "-t", "1")
        record = {"kind": "speed", "name": "v7-1.5b fp16", "result": "passed", "seconds": 1.0, "bench": json.loads(done.stdout)}
        record["bench"]["results"][0] |= {"tok_s": 1234.5, "bytes_per_token": 2e9, "state_bytes_per_token": 5e8, "limit_gb_s": 6172.5,
                                          "gflop_s": 2500, "limit_gflop_s": 50000}
        page = gpu_check.page(report([record], card="NVIDIA H200"))
        self.assertIn("| v7-1.5b fp16 | decode | 1,234 | 1,100 | 2,500.0 | 3,086 | 50 % | 2.5 | 5 % |", page)
        self.assertEqual(re.findall(r"fp16 \| (.*?) \| [0-9,]+ \|", page), ["decode", "prefill 1 x 5", "prefill 3 x 4", "decode, batch 3"])
        self.assertNotIn("1,100", gpu_check.page(report([record], card="Some Card")))


class Estimate(Case):
    def test_a_step_that_leaves_nothing_out_reads_all_parameters_but_the_embedding(self):
        parameters = {"v7-0.1b": 191_034_624, "v7-0.4b": 450_767_872, "v7-1.5b": 1_527_404_544, "v7-2.9b": 2_947_735_040}
        with mock.patch.object(cuda_estimate, "NONZERO", 1):
            for model, count in parameters.items():
                _, n_embd, *_ = cuda_estimate.MODELS[model]
                _, moved, _ = cuda_estimate.step(model, "fp16", 1)
                beside = moved / (2 * (count - 65536 * n_embd))  # vectors are left out, states and activations added: 3 % of 0.1b
                self.assertTrue(1 <= beside < 1.04, (model, beside))

    def test_what_ptxas_says_becomes_a_table(self):
        text = ("ptxas info    : Compiling entry function '_Z5scalePfi' for 'sm_90'\n"
                "ptxas info    : Used 42 registers, used 1 barriers, 2048 bytes smem\n")
        done = subprocess.run([sys.executable, SOURCE / "tools/cuda_estimate.py", "ptxas"], input=text, capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines()[-1], "| scale | 42 | 2.0 | 40 |")


if __name__ == "__main__":
    unittest.main(verbosity=2)
