# SPDX-License-Identifier: Apache-2.0
"""The vocabulary in the format of the World tokenizer: `<id> <Python literal> <byte length>`, ids from 1.

Id 0 has no line: it is the end of a document. All 256 single bytes come first, then the most frequent words.
`python3 vocab.py` writes demo_vocab.txt.
"""

import ast
import collections
import re
from pathlib import Path

from world import document

VOCAB_FILE = Path(__file__).with_name("demo_vocab.txt")
MAX_ENTRIES = 1023  # with id 0, the model's 1,024
N_VOCAB = 1024
PIECE = re.compile(r' ?[A-Za-z]+|\n\n| "|, |, "')


def build(n_document=30000):
    """Single bytes, then pieces of two or more bytes by the number of bytes' worth of tokens they save."""
    counts = collections.Counter(piece for seed in range(n_document) for piece in PIECE.findall(document(seed)))
    saved = collections.Counter({piece: count * (len(piece) - 1) for piece, count in counts.items() if len(piece) > 1})
    pieces = [piece.encode() for piece, _ in saved.most_common(MAX_ENTRIES - 256)]
    return [bytes([byte]) for byte in range(256)] + pieces


def literal(token):
    """Text where the token is UTF-8, as in the published file."""
    try:
        return repr(token.decode())
    except UnicodeDecodeError:
        return repr(token)


def write(tokens, path=VOCAB_FILE):
    lines = [f"{index} {literal(token)} {len(token)}\n" for index, token in enumerate(tokens, 1)]
    path.write_text("".join(lines), encoding="utf-8")


class Tokenizer:
    """Greedy longest match over UTF-8 bytes."""

    def __init__(self, path=VOCAB_FILE):
        self.token_of, self.id_of = {}, {}
        for line in path.read_text(encoding="utf-8").splitlines():
            index, token = int(line[: line.index(" ")]), ast.literal_eval(line[line.index(" ") + 1 : line.rindex(" ")])
            token = token.encode() if isinstance(token, str) else token
            assert len(token) == int(line[line.rindex(" ") + 1 :]), line
            self.token_of[index], self.id_of[token] = token, index
        self.longest = max(map(len, self.id_of))

    def encode(self, text):
        data, ids, start = text.encode(), [], 0
        while start < len(data):
            length = min(self.longest, len(data) - start)
            while data[start : start + length] not in self.id_of:
                length -= 1
            ids.append(self.id_of[data[start : start + length]])
            start += length
        return ids

    def decode(self, ids):
        return b"".join(self.token_of.get(index, b"") for index in ids).decode(errors="replace")


if __name__ == "__main__":
    write(build())
