# SPDX-License-Identifier: Apache-2.0
"""python -m rwkvcpp: the tools of the package."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import RwkvError, __version__, inspect

_TOOLS = """\
usage: python -m rwkvcpp TOOL [arguments]

tools:
  generate   text from a model, chat and benchmarks: the program rwkv-generate
  convert    checkpoints to other formats: the program rwkv-convert
  info FILE  what a checkpoint holds: version, sizes, types

python -m rwkvcpp TOOL --help says more. --version prints the version, --help this.
"""


def run_program(name: str, arguments: Sequence[str]) -> int:
    """Becomes one of the package's programs, with all arguments passed on; returns 127 if it is not there.

    >>> run_program("rwkv-no-such-program", [])
    127
    """
    program = Path(__file__).parent / "bin" / name
    if not program.is_file():
        print(f"rwkvcpp: {program} is missing: this package was built without its programs (RWKV_TOOLS=OFF)", file=sys.stderr)
        return 127
    os.execv(program, [name, *arguments])


def generate() -> int:
    """The command rwkv-generate."""
    return run_program("rwkv-generate", sys.argv[1:])


def convert() -> int:
    """The command rwkv-convert."""
    return run_program("rwkv-convert", sys.argv[1:])


def info(arguments: Sequence[str]) -> int:
    """Prints what a checkpoint holds.

    >>> import rwkvcpp
    >>> info(["no-such-file.pth"])
    1
    """
    parser = argparse.ArgumentParser(prog="python -m rwkvcpp info", description="What a checkpoint holds.")
    parser.add_argument("file", metavar="FILE", help="a .pth or .safetensors checkpoint")
    path = parser.parse_args(arguments).file
    try:
        found = inspect(path)
    except RwkvError as error:
        print(f"rwkvcpp: {error}", file=sys.stderr)
        return 1
    config = found.config
    rows = {
        "version": f"{config.version}.{config.minor}" if config.version == 5 else config.version,
        "format": found.format,
        "type": found.type,
        "parameters": f"{found.parameters:,}",
        "bytes": f"{found.bytes:,}",
        "n_layer": config.n_layer,
        "n_embd": config.n_embd,
        "n_att": config.n_att,
        "n_ffn": config.n_ffn,
        "n_vocab": config.n_vocab,
        "heads": f"{config.n_head} of {config.head_size}" if config.n_head else "none",
        "vocabulary": "in the file" if found.has_tokenizer else "not in the file",
        "unused tensors": ", ".join(found.unused_tensors) or "none",
    }
    for name, value in rows.items():
        print(f"{name:<15} {value}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of `python -m rwkvcpp` with these arguments.

    >>> main(["generat"])
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    first = words[0] if words else ""
    if first in ("-h", "--help", "help"):
        print(_TOOLS, end="")
        return 0
    if first in ("-V", "--version"):
        print(f"rwkvcpp {__version__}")
        return 0
    if first in ("generate", "convert"):
        return run_program(f"rwkv-{first}", words[1:])
    if first == "info":
        return info(words[1:])
    _complain(first)
    return 2


def _complain(first: str) -> None:
    if not first:
        print(_TOOLS, end="", file=sys.stderr)
        return
    known = ["generate", "convert", "info", "--help", "--version"]
    close = difflib.get_close_matches(first, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known[:3])}."
    print(f'rwkvcpp: unknown tool "{first}"; {hint} See python -m rwkvcpp --help', file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
