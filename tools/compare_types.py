# SPDX-License-Identifier: Apache-2.0
"""What each type of weights does to the logits: the table of docs/numerics.md. Needs rwkvcpp and NumPy.

python3 tools/compare_types.py             # the bundled model on documents that it was not trained on
python3 tools/compare_types.py --random    # random weights of the shape of RWKV-7 0.4B, 4 GB of memory and of disk
"""

import argparse
import json
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import rwkvcpp

DEMO = Path(__file__).parent / "demo_model"
TYPES = ("fp16", "bf16", "fp32i8", "fp32i4")
DOCUMENTS = 200
RANDOM_TOKENS = 64
FEW = 8  # tokens of a call whose inputs are never rounded to bfloat16


def read_safetensors(path):
    """The floating point tensors as float32, and the metadata."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, info in header.items():
        if info["dtype"] != "F16":
            continue
        first, last = (8 + length + offset for offset in info["data_offsets"])
        tensors[name] = np.frombuffer(content[first:last], np.float16).reshape(info["shape"]).astype(np.float32)
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata} if metadata else {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.tobytes())


def q4_0(w):
    """Rounding to nearest with one float16 scale for 32 numbers: the number of the largest size becomes -8."""
    groups = w.reshape(-1, 32)
    most = np.take_along_axis(groups, np.abs(groups).argmax(1)[:, None], 1)
    scale = most / -8
    steps = np.clip(np.floor(np.divide(groups, scale, out=np.zeros_like(groups), where=scale != 0) + 8.5), 0, 15) - 8
    return (steps * scale.astype(np.float16).astype(np.float32)).reshape(w.shape)


def with_q4_0(tensors):
    """What the strategies quantise: the `.weight` matrices but the embeddings."""
    return {
        name: q4_0(w) if w.ndim == 2 and name.endswith(".weight") and name != "emb.weight" else w
        for name, w in tensors.items()
    }


def random_model(n_embd=1024, n_layer=24, n_vocab=65536, rank=64):
    """Matrices of variance 1 / n_in; vectors in the ranges of trained models."""
    rng = np.random.default_rng(1)
    tensors = {}

    def add(name, *shape, scale=None, mean=0.0):
        scale = shape[-1] ** -0.5 if scale is None else scale
        tensors[name] = (mean + scale * rng.standard_normal(shape, np.float32)).astype(np.float32)

    def norm(name):
        add(name + ".weight", n_embd, scale=0.1, mean=1.0)
        add(name + ".bias", n_embd, scale=0.1)

    add("emb.weight", n_vocab, n_embd, scale=1.0)
    norm("blocks.0.ln0")
    for layer in range(n_layer):
        block = f"blocks.{layer}."
        norm(block + "ln1")
        norm(block + "ln2")
        norm(block + "att.ln_x")
        for mix in "rwkvag":
            add(f"{block}att.x_{mix}", 1, 1, n_embd, scale=0.2, mean=0.5)
        for letter in "wag" if layer == 0 else "wavg":
            add(f"{block}att.{letter}1", n_embd, rank, scale=n_embd**-0.5)
            add(f"{block}att.{letter}2", rank, n_embd, scale=0.1 * rank**-0.5)
            if letter != "g":
                add(f"{block}att.{letter}0", 1, 1, n_embd, scale=0.5, mean=-1.0)
        for vector in ("k_k", "k_a"):
            add(f"{block}att.{vector}", 1, 1, n_embd, scale=0.1, mean=0.8)
        add(block + "att.r_k", n_embd // 64, 64, scale=0.1)
        for matrix in ("receptance", "key", "value", "output"):
            add(f"{block}att.{matrix}.weight", n_embd, n_embd)
        add(block + "ffn.x_k", 1, 1, n_embd, scale=0.2, mean=0.5)
        add(block + "ffn.key.weight", 4 * n_embd, n_embd)
        add(block + "ffn.value.weight", n_embd, 4 * n_embd)
    norm("ln_out")
    add("head.weight", n_vocab, n_embd)
    return tensors


def logits(path, strategy, sequences, at_once):
    """Of every position, [tokens, n_vocab], fed in calls of `at_once` tokens; None: a sequence in one call."""
    model = rwkvcpp.Model(str(path), "cpu " + strategy)
    parts = []
    for tokens in sequences:
        state = model.new_state()
        step = at_once or len(tokens)
        for first in range(0, len(tokens), step):
            parts.append(model.forward(tokens[first : first + step], state, all_logits=True))
    return np.concatenate(parts)


def log_softmax(values):
    values = values.astype(np.float64)
    values -= values.max(-1, keepdims=True)
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def demo(folder):
    sys.path.insert(0, str(DEMO))
    import world

    tokenizer = rwkvcpp.Tokenizer(str(DEMO / "demo_vocab.txt"))
    documents = [world.document(world.HELD_OUT_SEED + i) for i in range(DOCUMENTS)]
    encoded = [tokenizer.encode(text) for text in documents]
    inputs, targets = [tokens[:-1] for tokens in encoded], np.concatenate([tokens[1:] for tokens in encoded])
    n_bytes = sum(len(text.encode()) for text in documents)
    path, rounded = DEMO / "demo.safetensors", folder / "q4_0.safetensors"
    tensors, metadata = read_safetensors(path)
    write_safetensors(rounded, with_q4_0(tensors), metadata)

    expected = log_softmax(logits(path, "fp32", inputs, None))
    print(f"{len(targets)} tokens, {n_bytes} bytes\n")
    print("| weights | KL to fp32, nats | the same likeliest token | bits per byte | KL, texts in one call |\n|---|---|---|---|---|")
    for name, file, strategy in [("fp32", path, "fp32"), *((t, path, t) for t in TYPES), ("Q4_0's rule", rounded, "fp32")]:
        found = [log_softmax(logits(file, strategy, inputs, at_once)) for at_once in (FEW, None)]
        kl = [(np.exp(expected) * (expected - f)).sum(-1).mean() for f in found]
        same = (found[0].argmax(-1) == expected.argmax(-1)).mean()
        bits = -found[0][np.arange(len(targets)), targets].sum() / np.log(2) / n_bytes
        print(f"| {name} | {max(kl[0], 0):.2e} | {same:.2%} | {bits:.4f} | {max(kl[1], 0):.2e} |")


def random(folder):
    path, rounded = folder / "random.safetensors", folder / "q4_0.safetensors"
    tensors = random_model()
    write_safetensors(path, tensors, {})
    write_safetensors(rounded, with_q4_0(tensors), {})
    del tensors
    tokens = [int(t) for t in np.random.default_rng(2).integers(1, 65536, RANDOM_TOKENS)]
    expected = logits(path, "fp32", [tokens], FEW)
    print("| weights | error of the logits, root mean square, relative | all tokens in one call |\n|---|---|---|")
    for name, file, strategy in [("fp32", path, "fp32"), *((t, path, t) for t in TYPES), ("Q4_0's rule", rounded, "fp32")]:
        errors = [
            np.sqrt(np.mean((logits(file, strategy, [tokens], at_once) - expected) ** 2) / np.mean(expected**2))
            for at_once in (FEW, None)
        ]
        print(f"| {name} | {errors[0]:.2e} | {errors[1]:.2e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", action="store_true", help="random weights of the shape of RWKV-7 0.4B")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (random if arguments.random else demo)(Path(folder))


if __name__ == "__main__":
    main()
