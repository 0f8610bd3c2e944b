# SPDX-License-Identifier: Apache-2.0
# Writes small_world.txt and small_bpe.json: vocabularies for tests, learnt from the text below. python3 make_small.py
import json
import os

TEXT = """The receptance decides how much of the state is read, the decay how much of it stays. A token shift mixes each
input with the one before it. We're sure that it's fine: don't worry, they'll see what I've said, and he'd agree; I'm done.
In 2024 there were 65536 tokens, 256 bytes and 32 heads.  Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.
Съешь же ещё этих мягких французских булок. 天地玄黄 宇宙洪荒 日月盈昃 辰宿列张. 한글 낱말을 읽다. \U0001F642 \U0001F680
\tfor (int i = 0; i < n; ++i) {\n\t\tsum += x[i];\n\t}\n""" * 3


def byte_alphabet():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 400))
    return {b: chr(b) if b in keep else chr(next(extra)) for b in range(256)}


def learn(words, count):
    """Byte pair merges, most frequent first."""
    merges = []
    while len(merges) < count:
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for i, word in enumerate(words):
            at = 0
            while at + 1 < len(word):
                if (word[at], word[at + 1]) == best:
                    word[at:at + 2] = [word[at] + word[at + 1]]
                at += 1
    return merges


def main():
    folder = os.path.dirname(os.path.abspath(__file__))
    to_char = byte_alphabet()
    words = [[bytes([b]) for b in (" " + w).encode()] for w in TEXT.split()]
    merges = learn(words, 250)
    tokens = [bytes([b]) for b in range(256)]
    for pair in merges:
        if pair[0] + pair[1] not in tokens:
            tokens.append(pair[0] + pair[1])
    with open(os.path.join(folder, "small_world.txt"), "w", encoding="utf-8", newline="\n") as f:
        for i, token in enumerate(tokens + [b"\n\n", b"\t\t", b" " * 16]):
            try:
                literal = repr(token.decode())
            except UnicodeDecodeError:
                literal = repr(token)
            f.write("%d %s %d\n" % (i + 1, literal, len(token)))
    spell = lambda token: "".join(to_char[b] for b in token)
    added = [{"id": 0, "content": "<|endoftext|>", "special": True, "normalized": False}]
    added += [{"id": len(tokens) + 1 + n, "content": " " * (4 - n), "special": False, "normalized": True} for n in range(3)]
    for token in added:
        token.update(single_word=False, lstrip=False, rstrip=False)
    data = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False,
                  "vocab": {spell(token): i + 1 for i, token in enumerate(tokens)},
                  "merges": [spell(a) + " " + spell(b) for a, b in merges]}}
    with open(os.path.join(folder, "small_bpe.json"), "w", encoding="utf-8") as f:
        json.dump(data, f, indent=0, ensure_ascii=False)


main()
