# SPDX-License-Identifier: Apache-2.0
"""Importing does nothing. (tools/bench_python.py says how long it takes.)"""

import subprocess
import sys


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, **options).stdout


def test_it_starts_no_thread_and_imports_no_other_package():
    code = """
import os, sys
import rwkvcpp, rwkvcpp.__main__
assert len(os.listdir("/proc/self/task")) == 1
print(sorted({"numpy", "torch", "tqdm", "rwkv"} & set(sys.modules)))
"""
    assert run(code) == "[]\n"


def test_the_drop_in_imports_numpy_only():
    code = """
import sys
import rwkvcpp.model, rwkvcpp.utils
print(sorted({"numpy", "torch", "tqdm", "rwkv", "tokenizers"} & set(sys.modules)))
"""
    assert run(code) == "['numpy']\n"


def test_the_environment_is_not_asked():
    """Neither Python's nor C's view of it: both are empty, and a variable of the package it replaces is not missed."""
    code = """
import os
class Poisoned(dict):
    def __getitem__(self, key): raise AssertionError(key)
    get = __contains__ = __getitem__
os.environ = Poisoned()
import rwkvcpp
print(rwkvcpp.load_demo().config.version)
"""
    assert run(code) == "7\n"
