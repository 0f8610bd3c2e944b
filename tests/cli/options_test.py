# SPDX-License-Identifier: Apache-2.0
"""rwkv-generate: wrong command lines, files that are no models, devices that are not there, --info."""
import json
import resource
import shutil
import unittest

from program import FAILED, FILE, MEMORY, MODELS, USAGE, Case
from small_model import read_safetensors, write_safetensors


class Usage(Case):
    def expect(self, code, words, *arguments):
        done = self.generate(*arguments, code=code)
        self.assertEqual(done.stdout, b"")
        for word in words:
            self.assertIn(word, done.stderr.decode())
        return done

    def test_a_wrong_option_names_the_nearest(self):
        self.expect(USAGE, ["--tmep", "did you mean --temp?"], "--tmep", "1", "-p", "a")
        self.expect(USAGE, ["--strategy"], "--stratgy=cpu", "-p", "a")

    def test_a_word_far_from_every_option_is_only_named(self):
        done = self.expect(USAGE, ["--xyzzyplugh"], "--xyzzyplugh", "-p", "a")
        self.assertNotIn(b"did you mean", done.stderr)

    def test_values_outside_their_range_are_usage_errors(self):
        for option in (["--temp", "-1"], ["--top-p", "2"], ["-n", "many"], ["-t", "-1"], ["--min-p", "nan"], ["-s", "-2"]):
            with self.subTest(option=option):
                self.expect(USAGE, [], *self.small, *option, "-p", "a")

    def test_a_wrong_strategy_is_a_usage_error_that_quotes_it(self):
        self.expect(USAGE, ["fp61"], "-m", self.model, "--tokenizer", self.vocabulary, "--strategy", "cpu fp61", "-p", "a")

    def test_an_empty_prompt_is_a_usage_error(self):
        self.expect(USAGE, ["empty"], *self.small)
        self.expect(USAGE, ["empty"], *self.small, "-p", "")

    def test_prompt_and_file_exclude_each_other(self):
        self.expect(USAGE, [], *self.small, "-p", "a", "-f", "b")

    def test_help_and_version_are_output(self):
        self.assertIn(b"--penalty-decay", self.generate("--help").stdout)
        self.assertRegex(self.generate("--version").stdout, rb"^\d+\.\d+\.\d+\n$")

    def test_a_context_size_is_accepted_with_a_note(self):
        done = self.generate(*self.small, "-c", "4096", "-p", "a", "-n", "1")
        self.assertIn(b"no context limit", done.stderr)


class Files(Case):
    def expect(self, word, *arguments):
        done = self.generate(*arguments, code=FILE)
        self.assertIn(word, done.stderr.decode())

    def test_a_missing_model_is_named(self):
        self.expect("nowhere.pth", "-m", self.folder / "nowhere.pth", "-p", "a")

    def test_a_web_page_is_not_a_model(self):
        page = self.folder / "model.pth"
        page.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
        self.expect("HTML", "-m", page, "-p", "a")

    def test_a_model_cut_short_is_refused(self):
        part = self.folder / "part.pth"
        part.write_bytes((MODELS / "random-v7.pth").read_bytes()[:300000])
        self.expect("part.pth", "-m", part, "-p", "a")

    def test_a_missing_prompt_file_is_named_before_the_model_is_read(self):
        self.expect("nowhere.txt", "-m", self.folder / "nowhere.pth", "-f", self.folder / "nowhere.txt")

    def test_a_missing_vocabulary_is_named(self):
        self.expect("nowhere.json", "-m", self.model, "--tokenizer", self.folder / "nowhere.json", "-p", "a")

    def test_a_state_of_another_model_is_refused(self):
        state = self.folder / "state"
        self.greedy("-p", "a", "-n", "1", "--state-out", state)
        tensors = read_safetensors(self.model)
        kind, shape, data = tensors["ln_out.weight"]
        tensors["ln_out.weight"] = (kind, shape, data[4:] + data[:4])
        other = self.folder / "other.safetensors"
        write_safetensors(other, tensors)
        self.expect("state", "-m", other, "--tokenizer", self.vocabulary, "--state-in", state, "-p", "a")

    def test_a_folder_is_not_a_prompt(self):
        self.expect("irectory", *self.small, "-f", self.folder)


class Memory(Case):
    def test_a_model_larger_than_the_memory_is_a_memory_error(self):
        tensors = read_safetensors(self.model)
        for name in ("emb.weight", "head.weight"):
            kind, (rows, columns), data = tensors[name]
            tensors[name] = (kind, [800 * rows, columns], 800 * data)
        large = self.folder / "large.safetensors"
        write_safetensors(large, tensors)  # 100 MiB
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (80 << 20, 80 << 20))
        done = self.generate("-m", large, "--tokenizer", self.vocabulary, "--strategy", "cpu fp32", "-t", "1", "-p", "a",
                             code=MEMORY, preexec_fn=limit)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"memory", done.stderr)


class Devices(Case):
    REASONS = ("no NVIDIA driver", "NVIDIA driver too old (needs ", "no CUDA device", "this build of rwkvcpp has no CUDA support")

    def listed(self):
        return self.generate("--list-devices").stdout.decode().splitlines()

    def run_on(self, strategy):
        return self.generate("-m", self.model, "--tokenizer", self.vocabulary, "--strategy", strategy, "-p", "a", code=FAILED)

    def test_the_list_has_the_cpu_and_the_cards_or_why_there_are_none(self):
        cpu, *cards = self.listed()
        self.assertRegex(cpu, r"^cpu \(\w+, \d+ threads?\)$")
        self.assertTrue(cards)
        for i, card in enumerate(cards):
            self.assertTrue(card.startswith(f"cuda:{i} (") or card.startswith(tuple("cuda: " + reason for reason in self.REASONS)))

    def test_without_a_card_cuda_fails_with_the_reason(self):
        reason = self.listed()[1].removeprefix("cuda: ")
        if not reason.startswith(self.REASONS):
            self.skipTest("skipped: there is a card")
        done = self.run_on("cuda fp16")
        self.assertEqual(done.stdout, b"")
        self.assertIn("strategy asks for cuda, but: " + reason, done.stderr.decode())

    def test_a_card_that_no_machine_has_is_named(self):
        done = self.run_on("cuda:999 fp16")
        self.assertIn("cuda:999", done.stderr.decode())


class Info(Case):
    def test_the_table_describes_the_model(self):
        text = self.generate("-m", MODELS / "random-v7.pth", "--info").stdout.decode()
        self.assertIn("RWKV-7", text)
        self.assertIn("pth (zip)", text)

    def test_json_has_its_sizes(self):
        info = json.loads(self.generate("-m", MODELS / "random-v5.2.pth", "--info", "--json").stdout)
        self.assertEqual((info["version"], info["n_layer"], info["n_embd"], info["n_vocab"]), ("5.2", 3, 64, 97))

    def test_the_ending_of_a_file_name_is_optional(self):
        shutil.copy(MODELS / "random-v7.pth", self.folder / "m.pth")
        self.generate("-m", self.folder / "m", "--info")


if __name__ == "__main__":
    unittest.main(verbosity=2)
