# SPDX-License-Identifier: Apache-2.0
"""The typed program also runs. (tools/test.sh checks its types, and the stubs against the module.)"""

import inspect
import re
from pathlib import Path

import rwkvcpp
import typed_program


def test_the_typed_program_runs(tmp_path):
    typed_program.main(tmp_path)


def test_it_uses_every_public_name():
    text = inspect.getsource(typed_program)
    missing = [name for name in rwkvcpp.__all__ if not re.search(rf"\brwkvcpp\.{name}\b", text)]
    assert missing == ["Stream"]  # what stream() returns


def test_the_package_says_that_it_is_typed():
    assert (Path(rwkvcpp.__file__).parent / "py.typed").is_file()
