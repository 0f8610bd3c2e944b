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

from small_model import widen, write_vocabulary

PROGRAMS = pathlib.Path(os.environ["RWKV_PROGRAMS"])
SOURCE = pathlib.Path(os.environ["RWKV_SOURCE"])
MODELS = SOURCE / "tests/data/models"
DEMO = SOURCE / "tools/demo_model/demo.safetensors"

DONE, FAILED, USAGE, FILE, MEMORY, INTERRUPTED = 0, 1, 2, 3, 4, 130

def open_terminal():
    """Both ends of a new pseudo terminal; a bare chroot has none."""
    try:
        return os.openpty()
    except OSError as error:
        raise unittest.SkipTest(f"skipped: needs a pseudo terminal ({error.strerror or error})") from error


class Case(unittest.TestCase):
    """A test with a folder of its own and a small model."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="rwkv-cli-")
        cls.addClassCleanup(folder.cleanup)
        cls.vocabulary, cls.model = (pathlib.Path(folder.name) / name for name in ("vocabulary.txt", "small.safetensors"))
        write_vocabulary(cls.vocabulary)
        widen(MODELS / "random-v7.safetensors", cls.model)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rwkv-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
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
