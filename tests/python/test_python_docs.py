# SPDX-License-Identifier: Apache-2.0
"""Every Python block of the documentation runs, in order, in a folder that has a model.pth; a comment "# -> x" is the value.

A block with a __main__ guard is a program of its own: processes that are spawned import it again."""

import ast
import os
import pathlib
import re
import subprocess
import sys

import pytest

import rwkvcpp

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [page for page in ("README.md", "docs/python.md", "docs/drop-in.md") if (ROOT / page).is_file()]
OPTIONAL = {"torch", "tiktoken", "tqdm", "rwkv"}  # packages a page may show the use of


def blocks(page):
    """(first line number, code)"""
    text = (ROOT / page).read_text()
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: block.start(1)].count("\n") + 1, block[1]


def run_statements(code, names, page, first_line):
    lines = code.splitlines()
    for statement in ast.parse(code).body:
        ast.increment_lineno(statement, first_line - 1)
        expected = re.search(r"# -> (.*)$", lines[statement.end_lineno - first_line])
        if isinstance(statement, ast.Expr) and expected:
            value = eval(compile(ast.Expression(statement.value), page, "eval"), names)
            assert repr(value) == expected[1].strip(), f"{page}:{statement.lineno}"
        else:
            exec(compile(ast.Module([statement], []), page, "exec"), names)


def run_program(code, folder):
    (folder / "program.py").write_text(code)
    path = os.pathsep.join(filter(None, [str(pathlib.Path(rwkvcpp.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "program.py"], cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_all_blocks_run(page, tmp_path, monkeypatch):
    for name in ("model.pth", "model.safetensors"):  # content decides, not the ending
        (tmp_path / name).symlink_to(rwkvcpp.DEMO_MODEL)
    (tmp_path / "book.txt").write_text("Once there was a fox.\n")
    monkeypatch.chdir(tmp_path)
    found = list(blocks(page))
    assert found
    names = {"__name__": "documentation"}
    for first_line, code in found:
        try:
            if "__main__" in code:
                run_program(code, tmp_path)
            else:
                run_statements(code, names, page, first_line)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            pytest.skip(f"skipped: {page}:{first_line} needs {error.name}")


def test_the_page_checks_values():
    """The comparison itself is seen to fail."""
    with pytest.raises(AssertionError, match="page:7"):
        run_statements("x = 1\nx + 1   # -> 3\n", {}, "page", 6)
    run_statements("x = 1\nx + 1   # -> 2\n", {}, "page", 6)


def test_every_exception_is_in_the_table():
    text = (ROOT / "docs/python.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+Error)` \| (?:`(\w+)`)? *\|", text, re.MULTILINE))
    errors = {name: getattr(rwkvcpp, name) for name in rwkvcpp.__all__ if name.endswith("Error") and name != "RwkvError"}
    assert rows.keys() == errors.keys()
    for name, builtin in rows.items():
        bases = [base.__name__ for base in errors[name].__mro__ if base.__module__ == "builtins"]
        assert builtin in bases if builtin else bases == ["Exception", "BaseException", "object"]
