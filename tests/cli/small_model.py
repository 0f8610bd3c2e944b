# SPDX-License-Identifier: Apache-2.0
"""A model and a vocabulary for the tests, made of one of the random models of tests/data, which have 97 tokens: too few for a
vocabulary with all bytes. Greedy text of it is noise in ASCII, always the same."""
import array
import json
import struct

LONG_WORD = "0123456789abcdefghijklmnopqrstuvwxyz" * 8  # one token
WORDS = [bytes([b]) for b in range(256)] + [LONG_WORD.encode(), b"\n\n"]  # of ids 1, 2, ...
N_VOCAB = len(WORDS) + 1
LIKELY = [b"\n", b"\n\n"] + [bytes([b]) for b in range(32, 127)]


def write_vocabulary(path):
    path.write_text("".join(f"{i} {w!r} {len(w)}\n" for i, w in enumerate(WORDS, 1)))


def read_safetensors(path):
    """Name to (dtype, shape, bytes)."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    tensors = json.loads(data[8 : 8 + length])
    tensors.pop("__metadata__", None)
    body = memoryview(data)[8 + length :]
    return {name: (t["dtype"], t["shape"], bytes(body[slice(*t["data_offsets"])])) for name, t in tensors.items()}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def widen(source, target):
    """The model `source` (float32) with N_VOCAB tokens. Only tokens of LIKELY have a row in the head, so only they are likely."""
    tensors = read_safetensors(source)
    _, (n_row, n_col), emb = tensors["emb.weight"]
    rows = array.array("f", emb)
    wide = array.array("f")
    for token in range(N_VOCAB):
        a, b = token % n_row, (5 * token + 1 + token // n_row) % n_row
        wide.extend(0.7 * rows[a * n_col + i] - 0.7 * rows[b * n_col + i] for i in range(n_col))
    tensors["emb.weight"] = ("F32", [N_VOCAB, n_col], wide.tobytes())

    head = tensors["head.weight"][2]
    parts = [bytes(4 * n_col)] * N_VOCAB
    for row, word in enumerate(LIKELY):
        parts[WORDS.index(word) + 1] = head[row * 4 * n_col : (row + 1) * 4 * n_col]
    tensors["head.weight"] = ("F32", [N_VOCAB, n_col], b"".join(parts))
    write_safetensors(target, tensors)
