# SPDX-License-Identifier: Apache-2.0
"""What the CUDA backend is expected to reach, computed from shapes: bytes moved, launches and time of a decode step of RWKV-7.

  python3 tools/cuda_estimate.py                                       each model, type and number of sequences
  python3 tools/cuda_estimate.py --fp16-state                          with S in float16
  python3 tools/cuda_estimate.py --prompts                             prompts of 1,024 tokens
  python3 tools/cuda_estimate.py v7-1.5b fp16 32                       each launch of a step of 32 sequences (of one without the number)
  nvcc ... -Xptxas -v ... 2>&1 | python3 tools/cuda_estimate.py ptxas  registers and occupancy of each kernel

Nothing here was measured. A launch takes its bytes at a share of the card's bandwidth, or its operations at a share of the tensor
cores' peak, before which blocks of 9 to 64 rows wait for x, whichever takes longer, and what passes until its first bytes arrive."""

import re
import subprocess
import sys

BANDWIDTH, PEAK = 4.3e12, 790e12  # an H200: copied bytes per second, fp16 operations per second
CACHE = 6e12  # bytes per second between the multiprocessors and the second-level cache
# Shares of the bandwidth: products, those of 9 to 64 rows (kernels/cuda/gemm_batch.cu says why), states of many heads.
MATRICES, BATCH, STATES = 0.85, 0.75, 0.80
SPARSE = 0.65  # of it, too: rows here and there
# Shares of the peak: cuBLASLt, which takes all from 65 rows on; else our tiles, which multiply two halves of x of i8, and of all types
# of up to 32 rows.
LIBRARY, OURS, TWO_HALVES = 0.80, 0.50, 0.25
ROOM = 32 << 20  # bytes of W of i8 and i4 that are float16 at a time, from 65 rows on (kernels/cuda/many_rows.cu)
LAUNCH = 1.2e-6  # seconds between launches of a graph: the first bytes' latency and the slowest block
MULTIPROCESSORS, CLOCK = 132, 1.765e9  # of an H200
# Of WKV in chunks (kernels/cuda/rwkv7_chunked.cu): rows of S that a block has, one to a multiprocessor, and its cycles per token.
CHUNKED = {16: 50, 32: 72}
ROUND = 1024  # rows that a forward has at once; a call with more has rounds
NONZERO = 0.12  # of the squared ReLU of trained models
FEW, MANY = 8, 64  # most sequences whose zeros are left out, and which are no work for tiles; that one block has
COLUMNS, DEPTH, BLOCKS = 128, 512, 128  # of a block of theirs: columns of the result, numbers along the input at most; how many at least

# layers, n_embd, and the ranks of w and a, v, g.
MODELS = {"v7-0.1b": (12, 768, 64, 32, 128), "v7-0.4b": (24, 1024, 64, 32, 128), "v7-1.5b": (24, 2048, 96, 64, 256),
          "v7-2.9b": (32, 2560, 96, 64, 320), "v7-7.2b": (32, 4096, 128, 96, 480)}
VOCABULARY, HEAD = 65536, 64
TYPES = ["fp32", "fp16", "bf16", "i8", "i4"]  # enum class DType
BYTES = {"fp16": 2.0, "fp16i8": 1.0, "fp16i4": 0.5625}  # of a number of a large matrix; the low-rank ones stay fp16


def cached(matrices, rows):
    """Bytes between the second-level cache and the blocks of a product of 9 to 64 rows besides the weights: x for each tile of
    columns, and sums over parts of the input, written and read. matrices: (how many, n_out, n_in)."""
    tiles = sum(n * -(-n_out // COLUMNS) for n, n_out, _ in matrices)
    moved = 0
    for n, n_out, n_in in matrices:
        across = -(-n_out // COLUMNS)
        parts = max(-(-n_in // DEPTH), min(-(-BLOCKS // tiles), n_in // 128))
        moved += 4 * rows * n * across * (n_in + (2 * parts * COLUMNS if parts > 1 else 0))
    return moved


def widened(numbers, n=1):
    """(launches that widen n matrices of so many numbers, products more than n that their slices take)"""
    slices, at_once = -(-2 * numbers // ROOM), max(1, ROOM // (2 * numbers))
    return (n * slices if slices > 1 else -(-n // at_once)), n * (slices - 1)


def many_row_launches(type_, c):
    """Launches of a layer's products of more than 64 rows besides one for each group: one before a group of products and one after it,
    each that cuBLASLt multiplies, and what widened() says. Low-rank products with a short input need nothing after them."""
    matrices = [(c * c, 3), (c * c, 1), (4 * c * c, 1), (4 * c * c, 1)] if type_ != "fp16" else []
    return 12 + sum(sum(widened(*each)) for each in matrices)


def launches(model, type_, sequences, state=4):
    """(name, how many of a step, bytes, operations, share of the bandwidth, bytes as of cached()) of each kind of launch. Activations are
    float32; state: bytes of a number of S."""
    n_layer, c, w, v, g = MODELS[model]
    size, rows = BYTES[type_], sequences
    low, ffn = 2 * w + v + g, 4 * c
    matrices = BATCH if FEW < rows <= MANY else MATRICES
    widens = type_ != "fp16" and rows > MANY
    if widens:
        size = 0  # of W as products read it, from the second-level cache
    zero_free = 1 - (1 - NONZERO) ** rows if rows <= FEW else 1.0  # rows of ffn.value that some sequence needs

    def product(name, n, moved, operations, shapes, share=matrices):
        return (name, n, moved, operations, share, cached(shapes, rows) if FEW < rows <= MANY else 0)

    kinds = [
        ("norm_shift, att", n_layer, 4 * rows * 9 * c, 0, STATES, 0),
        product("receptance, key, value, w1, a1, g1, v1", n_layer, size * 3 * c * c + 2 * low * c + 4 * rows * 9 * c,
                2 * rows * (3 * c + low) * c, [(3, c, c), (2, w, c), (1, v, c), (1, g, c)]),
        product("w2, a2, g2, v2", n_layer, 2 * low * c + 4 * rows * 4 * c, 2 * rows * low * c, [(2, c, w), (1, c, v), (1, c, g)]),
        ("delta_rule", n_layer, rows * (2 * state * HEAD * c + 4 * 9 * c), rows * 8 * HEAD * c, STATES, 0),
        product("output", n_layer, size * c * c + 4 * rows * 3 * c, 2 * rows * c * c, [(1, c, c)]),
        ("norm_shift, ffn", n_layer, 4 * rows * 4 * c, 0, STATES, 0),
        product("ffn.key", n_layer, size * ffn * c + 4 * rows * (c + ffn), 2 * rows * ffn * c, [(1, ffn, c)]),
        product("ffn.value", n_layer, zero_free * size * ffn * c + 4 * rows * (2 * c + ffn), 2 * rows * ffn * c, [(1, c, ffn)],
                SPARSE if rows <= FEW else matrices),
        ("embed", 1, rows * 6 * c, 0, STATES, 0),
        product("norm, head", 2, size * VOCABULARY * c / 2 + 4 * rows * VOCABULARY / 2, rows * VOCABULARY * c, [(1, VOCABULARY // 2, c)]),
    ]
    if widens:
        for name, numbers, n in (("receptance, key, value", c * c, 3), ("output", c * c, 1), ("ffn.key", ffn * c, 1),
                                 ("ffn.value", ffn * c, 1), ("head", VOCABULARY * c, 1)):
            count, _ = widened(numbers, n)
            each, of_all = n * numbers / count, 1 if name == "head" else n_layer
            kinds.append((f"W of {name} to float16", of_all * count, BYTES[type_] * each, 0, MATRICES, (BYTES[type_] + 2) * each))
    elif type_ != "fp16" and rows > 2:
        kinds.append(("w1, a1, g1, v1, which stay fp16, by themselves", n_layer, 0, 0, STATES, 0))
    if rows > MANY:
        more, counted = 2, 0
        if widens:  # which has launches of its own above
            more += widened(VOCABULARY * c)[1]
            counted = sum(widened(*each)[0] for each in ((c * c, 3), (c * c, 1), (ffn * c, 1), (ffn * c, 1)))
        kinds.append(("the other launches of products", n_layer * (many_row_launches(type_, c) - counted) + more, 0, 0, STATES, 0))
    return kinds


def seconds(type_, sequences, moved, operations, share, of_cache):
    halves = TWO_HALVES if type_ == "fp16i8" or sequences <= 32 else OURS
    of_peak = LIBRARY if sequences > MANY else halves
    return LAUNCH + max(moved / (share * BANDWIDTH), of_cache / CACHE + operations / (of_peak * PEAK))


def step(model, type_, sequences, state=4):
    """(launches, bytes, seconds) of all."""
    kinds = launches(model, type_, sequences, state)
    return (sum(n for _, n, *_ in kinds), sum(n * moved for _, n, moved, *_ in kinds),
            sum(n * seconds(type_, sequences, *rest) for _, n, *rest in kinds))


def prompts(model, type_, tokens):
    """Seconds of a prompt of at most ROUND tokens, with the logits of the last one. All that products leave to other kernels is read and
    written at the card's bandwidth, though of a thousand tokens most of it stays in the second-level cache."""
    n_layer, c, w, v, g = MODELS[model]
    low, ffn = 2 * w + v + g, 4 * c
    # Bytes of [tokens, c] in a layer: float32 of both norm_shift, of what is around S and of S's own; x of products made 16 bits of, 6
    # and 5 times; what follows their sums, of receptance, key, value and ffn.key, and of output and ffn.value, which add.
    moved = tokens * c * (4 * (9 + 4 + 11 + 6 + 7) + 6 * (6 + 5) + 8 * (3 + 4) + 12 * 2)
    operations = 2 * tokens * (4 * c * c + 2 * low * c + 2 * ffn * c)
    cycles = min(-(-c // (n * MULTIPROCESSORS)) * each for n, each in CHUNKED.items())
    count = 2 + 3 + 5 + many_row_launches(type_, c)  # norms, S, groups of products
    layer = moved / (STATES * BANDWIDTH) + operations / (LIBRARY * PEAK) + tokens * cycles / CLOCK + count * LAUNCH
    if type_ != "fp16":
        layer += (BYTES[type_] + 2) * (4 * c * c + 2 * ffn * c) / CACHE  # W, made float16
    return n_layer * layer + BYTES[type_] * VOCABULARY * c / (MATRICES * BANDWIDTH)


def print_prompts():
    print("| model | tokens per second |\n|---|---|")
    for model in MODELS:
        for type_ in BYTES:
            print(f"| {model} {type_} | {ROUND / prompts(model, type_, ROUND):,.0f} |")


def print_launches(model, type_, sequences):
    total = step(model, type_, sequences)[2]
    print("| launch | in a step | MB each | us each | of the step |\n|---|---|---|---|---|")
    for name, n, moved, *rest in launches(model, type_, sequences):
        taken = seconds(type_, sequences, moved, *rest)
        print(f"| {name} | {n} | {moved / 1e6:.2f} | {1e6 * taken:.1f} | {100 * n * taken / total:.0f} % |")


def print_models(state):
    print("| model | launches | MB of a step | tok/s | share of the bandwidth | 8 sequences | 32 | 128 | 320 |")
    print("|---" * 9 + "|")
    for model in MODELS:
        for type_ in BYTES:
            count, moved, taken = step(model, type_, 1, state)
            many = " | ".join(f"{n / step(model, type_, n, state)[2]:,.0f}" for n in (8, 32, 128, 320))
            share = 100 * moved / taken / BANDWIDTH
            print(f"| {model} {type_} | {count} | {moved / 1e6:,.0f} | {1 / taken:,.0f} | {share:.0f} % | {many} |")


def print_registers(lines):
    """Of what ptxas -v says: the kernel's name, then what it uses. Warps: in blocks of 256 threads, by registers and the shared memory that
    is not given at launch."""
    print("| kernel | registers | shared KiB | warps of a multiprocessor, of 64 |\n|---|---|---|---|")
    name = ""
    for line in lines:
        if found := re.search(r"Compiling entry function '(\w+)' for", line):
            name = found[1]
        if found := re.search(r"Used (\d+) registers", line):
            registers, shared = int(found[1]), re.search(r"(\d+) bytes smem", line)
            kib = int(shared[1]) / 1024 if shared else 0
            per_warp = -(-registers * 32 // 256) * 256
            warps = min(64, 65536 // per_warp // 8 * 8, int(227 / (kib + 1)) * 8)
            plain = subprocess.run(["c++filt", name], capture_output=True, text=True).stdout.strip()
            plain = re.sub(r"\(rwkv::DType\)(\d)", lambda n: TYPES[int(n[1])], plain)
            plain = re.sub(r"\(anonymous namespace\)::|rwkv::cuda::|rwkv::|^void |\((?!anonymous).*", "", plain)
            print(f"| {plain} | {registers} | {kib:.1f} | {warps} |")


def main(arguments):
    if arguments in ([], ["--fp16-state"]):
        print_models(2 if arguments else 4)
    elif arguments == ["--prompts"]:
        print_prompts()
    elif arguments == ["ptxas"]:
        print_registers(sys.stdin)
    elif len(arguments) in (2, 3) and arguments[0] in MODELS and arguments[1] in BYTES:
        print_launches(*arguments[:2], int(arguments[2]) if len(arguments) == 3 else 1)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
