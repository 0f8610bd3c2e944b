# SPDX-License-Identifier: Apache-2.0
"""rwkv-convert: the same model in another file, or the old file as it was."""
import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import time
import unittest

from program import FILE, MODELS, PROGRAMS, USAGE, Case
from small_model import widen


def header(path):
    """The JSON header of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))


class Convert(Case):
    def convert(self, source, target, *arguments, **more):
        return self.run_program("rwkv-convert", source, target, *arguments, **more)

    def converted(self, kind, source=None):
        target = self.folder / f"{kind}.safetensors"
        self.convert(source or self.model, target, "--type", kind, "--tokenizer", self.vocabulary)
        return target

    def wide(self, version):
        """A random model of that version with room for the vocabulary."""
        narrow, wide = self.folder / "narrow.safetensors", self.folder / f"{version}.safetensors"
        self.convert(MODELS / f"random-{version}.pth", narrow, "--type", "fp32", "--no-tokenizer")
        widen(narrow, wide)
        return wide

    def tokens(self, model, strategy, *arguments):
        """What the model writes, and what it would have written next: 40 ids."""
        done = self.generate("-m", model, "--strategy", strategy, "-t", "1", "--json", "--temp", "0", "--ignore-eos", "-p",
                             "Hello, world", "-n", "40", *arguments)
        return json.loads(done.stdout)["tokens"]


class SameModel(Convert):
    def test_each_type_computes_what_the_strategy_of_its_name_does(self):
        for kind in ("fp32", "fp16", "bf16"):
            for version in ("v4", "v5.2", "v6", "v7"):
                with self.subTest(kind=kind, version=version):
                    source = self.wide(version)
                    before = self.tokens(source, f"cpu {kind}", "--tokenizer", self.vocabulary)
                    self.assertEqual(self.tokens(self.converted(kind, source), f"cpu {kind}"), before)

    def test_quantised_files_compute_what_the_strategies_do(self):
        for kind in ("i8", "i4"):
            for version in ("v5.2", "v7"):
                with self.subTest(kind=kind, version=version):
                    source = self.wide(version)
                    before = self.tokens(source, f"cpu fp32{kind}", "--tokenizer", self.vocabulary)
                    converted = self.converted(kind, source)
                    self.assertEqual(self.tokens(converted, f"cpu fp32{kind}"), before)
                    self.assertEqual(self.tokens(converted, "auto"), before)

    def test_only_matrices_change_their_type(self):
        tensors = header(self.converted("bf16"))
        self.assertEqual(tensors["blocks.0.att.key.weight"]["dtype"], "BF16")
        self.assertEqual(tensors["blocks.0.att.w1"]["dtype"], "BF16")
        for vector in ("blocks.0.ln1.weight", "blocks.0.att.r_k", "blocks.0.att.k_k"):
            self.assertEqual(tensors[vector]["dtype"], "F32", vector)

    def test_a_converted_file_can_be_converted_again(self):
        again = self.folder / "again.safetensors"
        self.convert(self.converted("fp32"), again, "--type", "fp16")
        direct = self.converted("fp16")
        self.assertEqual(again.read_bytes()[-1000:], direct.read_bytes()[-1000:])
        self.assertEqual(self.tokens(again, "cpu fp16"), self.tokens(direct, "cpu fp16"))

    def test_the_vocabulary_is_inside(self):
        target = self.converted("fp16")
        self.assertIn(self.vocabulary.read_bytes(), target.read_bytes())
        self.assertEqual(header(target)["__metadata__"]["rwkv.tokenizer"], "world")

    def test_the_hash_of_the_source_is_stored_and_both_are_printed(self):
        target = self.folder / "out.safetensors"
        done = self.convert(self.model, target, "--type", "fp16", "--no-tokenizer")
        source = hashlib.sha256(self.model.read_bytes()).hexdigest()
        self.assertEqual(header(target)["__metadata__"]["rwkv.source_sha256"], source)
        self.assertIn(source, done.stdout.decode())
        self.assertIn(hashlib.sha256(target.read_bytes()).hexdigest(), done.stdout.decode())

    def test_the_epsilon_of_the_head_norm_is_kept(self):
        target, again = self.folder / "out.safetensors", self.folder / "again.safetensors"
        self.convert(self.model, target, "--type", "fp16", "--no-tokenizer", "--head-norm-eps", "1e-5")
        self.convert(target, again, "--type", "fp16", "--no-tokenizer")
        info = json.loads(self.generate("-m", again, "--info", "--json").stdout)
        self.assertAlmostEqual(info["head_norm_eps"], 1e-5, delta=1e-9)


class Refused(Convert):
    def test_the_input_is_never_overwritten(self):
        copy = self.folder / "model.pth"
        copy.write_bytes(self.model.read_bytes())
        link = self.folder / "link.safetensors"
        os.link(copy, link)
        for target in (copy, link, self.folder / "." / "model.pth"):
            self.convert(copy, target, "--type", "fp16", "--no-tokenizer", "--force", code=USAGE)
        self.assertEqual(copy.read_bytes(), self.model.read_bytes())

    def test_a_file_that_is_no_model_is_replaced_only_by_force(self):
        notes = self.folder / "notes.txt"
        notes.write_text("mine")
        self.convert(self.model, notes, "--type", "fp16", "--no-tokenizer", code=USAGE)
        self.assertEqual(notes.read_text(), "mine")
        self.convert(self.model, notes, "--type", "fp16", "--no-tokenizer", "--force")
        self.assertIn("emb.weight", header(notes))

    def test_without_a_vocabulary_it_says_what_to_do(self):
        done = self.convert(self.model, self.folder / "out.safetensors", "--type", "fp16", code=FILE)
        self.assertIn(b"--no-tokenizer", done.stderr)
        self.assertFalse((self.folder / "out.safetensors").exists())

    def test_an_unknown_type_lists_the_types(self):
        done = self.convert(self.model, self.folder / "out.safetensors", "--type", "fp61", code=USAGE)
        self.assertIn(b"bf16", done.stderr)

    def test_a_quantised_model_is_not_converted_again(self):
        for kind in ("i8", "i4"):
            done = self.convert(self.converted(kind), self.folder / "out.safetensors", "--type", "fp16", code=FILE)
            self.assertIn(b"convert the original", done.stderr)

    def test_a_folder_that_is_not_there_is_a_file_error(self):
        self.convert(self.model, self.folder / "nowhere/out.safetensors", "--type", "fp16", "--no-tokenizer", code=FILE)


class Killed(Convert):
    def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(self):
        target = self.folder / "out.safetensors"
        command = [PROGRAMS / "rwkv-convert", self.model, target, "--tokenizer", self.vocabulary, "--type"]
        start = time.monotonic()
        new = self.converted("bf16").read_bytes()
        seconds = time.monotonic() - start
        old = self.converted("fp32").read_bytes()
        rng = random.Random(1)
        for round_number in range(20):
            allowed = [new]
            if round_number % 2:
                target.write_bytes(old)
                allowed.append(old)
            else:
                target.unlink(missing_ok=True)
                allowed.append(None)
            process = subprocess.Popen([*command, "bf16"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, seconds))
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertIn(target.read_bytes() if target.exists() else None, allowed)

    def test_what_a_killed_run_left_behind_is_named(self):
        stray = self.folder / "out.safetensors.tmp.123.456"
        stray.write_bytes(b"half")
        done = self.convert(self.model, self.folder / "out.safetensors", "--type", "fp16", "--no-tokenizer")
        self.assertIn(stray.name.encode(), done.stderr)

    def test_an_interrupt_leaves_nothing_behind(self):
        target = self.folder / "out.safetensors"
        with self.running("rwkv-convert", self.model, target, "--type", "i8", "--tokenizer", self.vocabulary) as process:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        self.assertFalse(list(self.folder.glob("*.tmp.*")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
