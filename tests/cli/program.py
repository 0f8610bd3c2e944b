# SPDX-License-Identifier: Apache-2.0
"""Runs the programs. Environment: RWKV_PROGRAMS, the folder they were built in; RWKV_SOURCE, the root of the sources."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

PROGRAMS = pathlib.Path(os.environ["RWKV_PROGRAMS"])
SOURCE = pathlib.Path(os.environ["RWKV_SOURCE"])
MODELS = SOURCE / "tests/data/models"
DEMO = SOURCE / "tools/demo_model/demo.safetensors"

DONE, FAILED, USAGE, FILE, MEMORY, INTERRUPTED = 0, 1, 2, 3, 4, 130

LONG_WORD = "0123456789abcdefghijklmnopqrstuvwxyz" * 8  # one token of the test vocabulary


def write_vocabulary(path):
    """A World vocabulary of 96 tokens for the random models (vocabulary 97): line end, ESC, ASCII without `, | and ~, a long word."""
    words = ["\n", "\x1b", LONG_WORD] + [chr(c) for c in range(32, 127) if chr(c) not in "`|~"]
    words.append("\n\n")
    assert len(words) <= 96
    path.write_text("".join(f"{i} {w!r} {len(w)}\n" for i, w in enumerate(words, 1)))


class Case(unittest.TestCase):
    """A test with a folder of its own and a small model: random weights, so that its text is noise, but always the same."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rwkv-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.vocabulary = self.folder / "vocabulary.txt"
        write_vocabulary(self.vocabulary)
        self.model = MODELS / "random-v7.pth"
        self.small = ["-m", self.model, "--tokenizer", self.vocabulary, "--strategy", "cpu fp32", "-t", "1"]

    def run_program(self, name, *arguments, stdin=b"", code=DONE, **more):
        """The finished program; fails unless it ends with `code`."""
        command = [PROGRAMS / name, *map(os.fspath, arguments)]
        more.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run(command, input=stdin, stderr=subprocess.PIPE, timeout=120, **more)
        self.assertEqual(done.returncode, code, f"{command}\n{done.stderr.decode(errors='replace')}")
        return done

    def generate(self, *arguments, **more):
        return self.run_program("rwkv-generate", *arguments, **more)

    def greedy(self, *arguments, **more):
        """Standard output of the small model, always taking the likeliest token."""
        return self.generate(*self.small, "--temp", "0", "--ignore-eos", *arguments, **more).stdout

    def as_json(self, *arguments, **more):
        lines = self.greedy("--json", *arguments, **more).splitlines()
        return [json.loads(line) for line in lines]

    @contextlib.contextmanager
    def running(self, name, *arguments, **pipes):
        """The running program; what is left of it is killed."""
        command = [PROGRAMS / name, *map(os.fspath, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **pipes)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
