# SPDX-License-Identifier: Apache-2.0
"""rwkv-bench: what it prints fits together. How fast it finds this machine is not tested."""
import importlib.util
import json
import os
import resource
import subprocess
import sys
import unittest

from program import DEMO, FAILED, FILE, MEMORY, SOURCE, USAGE, Case
from small_model import read_safetensors, write_safetensors

FIGURES = ["what", "tokens", "batch", "tok_s", "bytes_per_token", "state_bytes_per_token", "gb_s", "limit_gb_s", "gflop_s",
           "limit_gflop_s", "share", "seconds"]
DECODE = [*FIGURES, "zero_share"]
LOAD = ["what", "seconds", "peak_rss_mib"]
ROUNDING = 2e-4  # of products of figures with five digits


class Bench(Case):
    def bench(self, *arguments, **more):
        return self.run_program("rwkv-bench", *arguments, "-t", "1", **more)

    def report(self, *arguments):
        """The one JSON object that is all of stdout."""
        done = self.bench("-m", self.model, "--strategy", "cpu fp32", "--repeat", "1", "--json", *arguments)
        self.assertEqual((done.stdout.count(b"\n"), done.stderr), (1, b""))
        return json.loads(done.stdout)

    def near(self, found, expected):
        self.assertLess(abs(found / expected - 1), ROUNDING, f"{found}, expected {expected}")


class Json(Bench):
    def test_it_has_the_documented_keys_and_no_others(self):
        report = self.report("--decode", "3", "--prefill", "5,3x70", "--batch", "1,2")
        self.assertEqual(list(report), ["machine", "model", "strategy", "threads", "drawing", "results"])
        self.assertEqual((report["strategy"], report["threads"], report["drawing"]), ("cpu fp32", 1, "greedy"))
        for row in report["results"]:
            self.assertEqual(list(row), {"load": LOAD, "decode": DECODE}.get(row["what"], FIGURES))
        sizes = [(row["what"], row.get("tokens"), row.get("batch")) for row in report["results"]]
        self.assertEqual(sizes, [("decode", 3, 1), ("prefill", 5, 1), ("prefill", 70, 3), ("batch", 3, 1), ("batch", 3, 2),
                                 ("load", None, None)])

    def test_its_figures_fit_together(self):
        for row in self.report("--decode", "4", "--prefill", "20", "--batch", "3")["results"][:-1]:
            self.near(row["tok_s"], row["tokens"] * row["batch"] / row["seconds"])
            self.near(row["gb_s"], row["tok_s"] * row["bytes_per_token"] / 1e9)
            self.near(row["share"], max(row["gb_s"] / row["limit_gb_s"], row["gflop_s"] / row["limit_gflop_s"]))

    def test_a_token_reads_all_weights_but_one_row_of_the_embedding(self):
        tensors = read_safetensors(self.model)
        _, (n_row, n_col), _ = tensors["emb.weight"]
        size = sum(len(data) for _, _, data in tensors.values()) - 4 * (n_row - 1) * n_col
        decode, batch, _ = self.report("--decode", "2", "--prefill", "0", "--batch", "2")["results"]
        self.assertEqual(decode["bytes_per_token"], size)
        self.assertEqual(batch["bytes_per_token"], size // 2)

    def test_a_step_reads_and_writes_the_state_of_each_sequence(self):
        tensors = read_safetensors(self.model)
        n_layer = sum(name.endswith("ffn.key.weight") for name in tensors)
        n_embd, (n_head, head_size) = tensors["emb.weight"][1][1], tensors["blocks.0.att.r_k"][1]
        state = 4 * n_layer * (2 * n_embd + n_head * head_size**2)
        decode, prefill, batch, _ = self.report("--decode", "2", "--prefill", "2x8", "--batch", "3")["results"]
        self.assertEqual([row["state_bytes_per_token"] for row in (decode, prefill, batch)], [2 * state, 2 * state // 8, 2 * state])

    def test_the_share_of_zeros_is_that_of_the_squared_relu(self):
        tensors, path = read_safetensors(self.model), self.folder / "zeros.safetensors"
        shares = []
        for zero_layers in ([], ["0"], None):  # None: all; a ffn.key of zeros makes nothing but zeros
            changed = {}
            for name, (dtype, shape, data) in tensors.items():
                key = name.endswith("ffn.key.weight") and (zero_layers is None or name.split(".")[1] in zero_layers)
                changed[name] = (dtype, shape, bytes(len(data)) if key else data)
            write_safetensors(path, changed)
            done = self.bench("-m", path, "--strategy", "cpu fp32", "--repeat", "1", "--json", "--decode", "3", "--prefill", "0",
                              "--batch", "0")
            shares.append(json.loads(done.stdout)["results"][0]["zero_share"])
        n_layer = sum(name.endswith("ffn.key.weight") for name in tensors)
        self.assertGreater(shares[0], 0.2)
        self.assertLess(shares[0], 0.8)
        self.assertGreater(shares[1], 1 / n_layer)
        self.assertEqual(shares[2], 1)

    def test_zeros_leave_work_out(self):
        results = self.report("--decode", "0", "--prefill", "0", "--batch", "0")["results"]
        self.assertEqual([row["what"] for row in results], ["load"])
        self.assertGreater(results[0]["peak_rss_mib"], 1)


class Table(Bench):
    def test_it_names_the_model_the_machine_and_every_row(self):
        text = self.bench("-m", self.model, "--decode", "2", "--prefill", "3", "--batch", "2", "--repeat", "2").stdout.decode()
        for word in ("small.safetensors", "RWKV-7", "core", "smallest", "share", "embedding", "draws the likeliest"):
            self.assertIn(word, text)
        for row in ("decode +2 tokens", " +[0-9.]+ % of the squared ReLU is zero", "prefill +3 tokens", "batch +2 x 2 tokens",
                    "load .* MiB"):
            self.assertRegex(text, rf"(?m)^{row}")

    @unittest.skipUnless(DEMO.exists(), "skipped: no bundled model")
    def test_without_a_model_it_measures_the_bundled_one(self):
        text = self.bench("--decode", "1", "--prefill", "0", "--batch", "0", "--repeat", "1").stdout.decode()
        self.assertIn(DEMO.name, text)

    def test_a_synthetic_model_needs_no_file(self):
        done = self.bench("--synthetic", "v7-0.1b", "--strategy", "cpu bf16", "--decode", "1", "--prefill", "0", "--batch", "0",
                          "--repeat", "1")
        self.assertIn("synthetic v7-0.1b: RWKV-7, 12 layers, n_embd 768", done.stdout.decode())


class Long(Bench):
    def report(self, *arguments):
        return json.loads(self.bench("-m", self.model, "--json", *arguments).stdout)

    def test_points_are_evenly_spaced_and_the_state_stays_the_same(self):
        points = self.report("--long", "200")["results"]
        self.assertEqual([p["tokens"] for p in points], list(range(4, 201, 4)))
        self.assertEqual(len({p["state_bytes"] for p in points}), 1)

    def test_the_transformer_beside_it_grows_as_the_formulas_say(self):
        _, (_, n_embd), _ = read_safetensors(self.model)["emb.weight"]
        n_layer = len([name for name in read_safetensors(self.model) if name.endswith("ffn.key.weight")])
        for p in self.report("--long", "3")["results"]:
            self.assertEqual(p["kv_cache_bytes"], 2 * n_layer * n_embd * p["tokens"] * 2)
            self.assertEqual(p["attention_flop"], 4 * n_layer * n_embd * p["tokens"])

    def test_the_table_shows_the_formulas(self):
        text = self.bench("-m", self.model, "--long", "20").stdout.decode()
        self.assertIn("2 L C t", text)
        self.assertIn("4 L C t", text)


class Mistakes(Bench):
    def expect(self, code, word, *arguments, **more):
        done = self.bench(*arguments, code=code, **more)
        self.assertEqual(done.stdout, b"")
        self.assertIn(word, done.stderr.decode())

    def test_a_wrong_option_or_shape_names_the_nearest(self):
        self.expect(USAGE, "did you mean --synthetic?", "--synthetik", "v7-0.1b")
        self.expect(USAGE, "did you mean v7-0.4b?", "--synthetic", "v7-04b")

    def test_values_outside_their_range_are_usage_errors(self):
        for option in (["--repeat", "0"], ["--decode", "-1"], ["--prefill", "64,x"], ["--prefill", "3x"], ["--prefill", "3x-5"], ["--batch", "1,-4"], ["--long", "0"]):
            with self.subTest(option=option):
                self.expect(USAGE, option[0], "-m", self.model, *option)

    def test_options_that_exclude_each_other(self):
        self.expect(USAGE, "--synthetic", "-m", self.model, "--synthetic", "v7-0.1b")
        self.expect(USAGE, "--long", "-m", self.model, "--long", "100", "--decode", "4")

    def test_a_wrong_strategy_and_a_missing_model_say_what_they_say_elsewhere(self):
        self.expect(USAGE, "fp61", "-m", self.model, "--strategy", "cpu fp61")
        self.expect(FILE, "nowhere.pth", "-m", self.folder / "nowhere.pth")

    def test_a_model_larger_than_the_memory_is_a_memory_error(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
        self.expect(MEMORY, "memory", "--synthetic", "v7-0.1b", "--strategy", "cpu fp32", preexec_fn=limit)


class Plot(Bench):
    def test_without_python_it_ends_before_anything_is_measured(self):
        done = self.bench("-m", self.model, "--plot", self.folder / "a.png", code=FAILED, env={"PATH": str(self.folder)})
        self.assertIn(b"python3", done.stderr)
        self.assertEqual(done.stdout, b"")

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "skipped: needs matplotlib")
    def test_pictures_of_one_run_of_several_types_and_of_a_long_run(self):
        environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
        short = ["--decode", "2", "--prefill", "4,8", "--batch", "2", "--repeat", "1"]
        results = b""
        for name, options in (("one", [*short, "--strategy", "cpu fp32"]), ("other", [*short, "--strategy", "cpu bf16"]),
                              ("long", ["--long", "60"])):
            done = self.bench("-m", self.model, "--json", "--plot", self.folder / name, *options, env=environment)
            results += done.stdout if name != "long" else b""
        script = SOURCE / "tools/bench/bench_plot.py"
        subprocess.run([sys.executable, script, self.folder / "both"], input=results, check=True, timeout=120)
        for name in ("one", "other", "long", "both"):
            self.assertEqual((self.folder / f"{name}.png").read_bytes()[:4], b"\x89PNG")


if __name__ == "__main__":
    unittest.main(verbosity=2)
