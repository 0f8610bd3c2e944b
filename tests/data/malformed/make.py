#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files beside it: small valid checkpoints (valid*) and files that must be refused, each with a part of the
message that it must be refused with (expected.json). Needs Python only; `make.py --torch` also makes valid-torch*.pth."""

import binascii
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
BIG = 2**63 - 1
CASES = {}  # name: (bytes, part of the message)


def case(name, data, message):
    assert name not in CASES
    CASES[name] = (data, message)


# --- zip archives, laid out as torch does: flags 0x0808, sizes 0 in the local header, data descriptors, 64-byte alignment


def entry(name, data, **fields):
    return {"name": name, "data": data, **fields}


def make_zip(entries, before=b"", after=b"", comment=b"", zip64=True, **end):
    out, central = bytearray(before), b""
    for e in entries:
        name, data = e["name"].encode(), e["data"]
        crc, at = e.get("crc", binascii.crc32(data)), len(out)
        local_name = e.get("local_name", e["name"]).encode()
        pad = -(at + 30 + len(local_name) + 4) % 64
        if not e.get("no_local"):
            out += struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 0, e.get("flags", 0x808), e.get("local_method", 0), 0, 0,
                               e.get("local_crc", 0), e.get("local_size", 0), e.get("local_size", 0), len(local_name), pad + 4)
            out += local_name + b"FB" + struct.pack("<H", pad) + b"Z" * pad + data
            out += struct.pack("<4sIII", b"PK\7\x08", crc, len(data), len(data))
        at, size = e.get("at", at), e.get("size", len(data))
        packed = e.get("packed", size)
        wide = b"".join(struct.pack("<Q", n) for n in (size, packed, at) if n >= 0xFFFFFFFF)
        extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        narrow = [min(n, 0xFFFFFFFF) for n in (packed, size, at)]
        central += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0, 0, e.get("flags", 0x808), e.get("method", 0), 0, 0, crc,
                               narrow[0], narrow[1], len(name), len(extra), 0, e.get("disk", 0), 0, 0, narrow[2])
        central += name + extra
    at = end.get("directory_at", len(out))
    count, size = end.get("count", len(entries)), end.get("directory_size", len(central))
    out += central
    if zip64:
        here = len(out)
        out += struct.pack("<4sQHHIIQQQQ", end.get("magic64", b"PK\6\6"), end.get("size64", 44), 30, 45, end.get("disk", 0), 0,
                           count, count, size, at)
        out += struct.pack("<4sIQI", b"PK\6\7", 0, end.get("locator", here), end.get("disks", 1))
    out += struct.pack("<4sHHHHIIH", b"PK\5\6", end.get("disk32", 0), 0, min(end.get("count32", count), 0xFFFF),
                       min(end.get("count32", count), 0xFFFF), min(size, 0xFFFFFFFF), min(at, 0xFFFFFFFF), len(comment))
    return bytes(out) + comment + after


# --- pickles


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return b"X" + struct.pack("<I", len(s)) + s


def number(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -(2**31) <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    return b"\x8a\x08" + struct.pack("<q", n)


def numbers(ns):
    return b"(" + b"".join(number(n) for n in ns) + b"t"


def name(s):
    return b"c" + s.replace(" ", "\n").encode() + b"\n"


def storage(kind="Float", key="0", numel=24, view=None):
    tail = b"" if view is None else b"N" if view == () else b"(" + text("v") + numbers(view)[1:-1] + b"t"
    return b"(" + text("storage") + name(f"torch {kind}Storage") + text(key) + text("cpu") + number(numel) + tail + b"tQ"


ORDERED_DICT = name("collections OrderedDict") + b")R"


def tensor(held=None, offset=0, shape=(4, 6), stride=(6, 1)):
    return (name("torch._utils _rebuild_tensor_v2") + b"(" + (held or storage()) + number(offset) + numbers(shape)
            + numbers(stride) + b"\x89" + ORDERED_DICT + b"tR")


def mapping(items):
    return b"}(" + b"".join(text(k) + v for k, v in items) + b"u"


def pickle(body, protocol=2):
    return b"\x80" + bytes([protocol]) + body + b"."


FLOATS = struct.pack("<24f", *(i / 8 for i in range(24)))
HALVES = struct.pack("<12e", *(i / 4 for i in range(12)))
BYTES = bytes(range(10))
VALID = [("blocks.0.att.key.weight", tensor()),
         ("blocks.0.att.value.weight", tensor(storage("Half", "1", 12), 2, (3, 3), (1, 3))),
         ("emb.weight", tensor(storage("Byte", "2", 10), 0, (10,), (1,)))]


def pth_entries(body=None, floats=FLOATS, folder="m"):
    data = pickle(mapping(VALID)) if body is None else body
    return [entry(f"{folder}/data.pkl", data), entry(f"{folder}/data/0", floats), entry(f"{folder}/data/1", HALVES),
            entry(f"{folder}/data/2", BYTES), entry(f"{folder}/version", b"3\n")]


def pth(body=None, **end):
    return make_zip(pth_entries(body), **end)


def one(held):
    """A checkpoint whose only tensor is `held`."""
    return pth(pickle(mapping([("w", held)])))


def changed(index, **fields):
    entries = pth_entries()
    entries[index].update(fields)
    return entries


# --- the older form

MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


def legacy_tensors():
    return mapping([("a", tensor(storage(key="k0", view=()))),
                    ("b", tensor(storage("Half", "k1", 12, view=(3, 6)), 0, (2, 3), (3, 1)))])


def legacy(magic=MAGIC, protocol=1001, little=b"\x88", body=None, keys=("k0", "k1"), counts=(24, 12), after=b""):
    out = magic + pickle(b"M" + struct.pack("<H", protocol)) + pickle(mapping([("little_endian", little)]))
    out += pickle(body or legacy_tensors())
    out += pickle(b"](" + b"".join(text(k) for k in keys) + b"e") if isinstance(keys, tuple) else keys
    for count, data in zip(counts, (FLOATS, HALVES)):
        out += struct.pack("<q", count) + data
    return out + after


# --- safetensors


def safetensors(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def spec(dtype="F32", shape=(2, 3), offsets=(0, 24)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def valid_safetensors():
    header = {"__metadata__": {"format": "pt", "note": "caf\u00e9"}, "a": spec(shape=(4, 6), offsets=(0, 96)),
              "b": spec("F16", (12,), (96, 120)), "c": spec("U8", (10,), (120, 130))}
    return safetensors(header, FLOATS + HALVES + BYTES)


def contents():
    web = "web page (HTML)"
    case("html.pth", b"<!DOCTYPE html><html><body>Not found</body></html>", web)
    case("html-after-blanks.pth", b"\n\n  <HTML lang=en>", web)
    case("xml.pth", b"<?xml version='1.0'?><Error/>", "XML")
    case("lfs.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer")
    case("gguf.gguf", b"GGUF\3\0\0\0" + bytes(64), "GGUF")
    case("rwkvcpp.bin", struct.pack("<6I", 0x67676D66, 101, 50277, 768, 12, 0), "rwkv.cpp")
    case("ggml.bin", struct.pack("<6I", 0x67676D6C, 1, 2, 3, 4, 5), "old ggml")
    case("ggjt.bin", struct.pack("<6I", 0x67676A74, 1, 2, 3, 4, 5), "ggjt")
    for kind, start in {"gzip": b"\x1f\x8b\x08\0", "xz": b"\xfd7zXZ\0", "zstd": b"\x28\xb5\x2f\xfd", "bzip2": b"BZh9",
                        "7z": b"7z\xbc\xaf\x27\x1c", "rar": b"Rar!\x1a\x07\1\0"}.items():
        case(f"archive-{kind}", start + bytes(40), f"{kind} archive; unpack it first")
    case("archive-tar", b"pickle" + bytes(251) + b"ustar\0" + bytes(249), "tar archive")
    case("archive-split.zip", b"PK\7\x08PK\3\4" + bytes(40), "split zip")
    case("config.json", b'{"architectures": ["Rwkv"]}', "JSON text")
    case("index.json", b'{"metadata": {}, "weight_map": {"a": "x"}}', "model in several files")
    case("array.npy", b"\x93NUMPY\1\0" + bytes(64), "NumPy")
    case("weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5")
    case("empty.pth", b"", "the file is empty")
    case("zeros.pth", bytes(5000), "zeros only")
    case("one-byte.pth", b"P", "not a model")
    case("noise.pth", bytes((i * 37 + 11) % 251 for i in range(300)), "not a model")


def zips():
    whole = pth()
    case("zip-truncated.pth", whole[:len(whole) // 2], "truncated: a zip archive without its directory")
    case("zip-empty.zip", b"PK\5\6" + bytes(18), "it is empty")
    case("zip-document.docx", make_zip([entry("word/document.xml", b"<a/>")]), "not a torch checkpoint")
    case("zip-torchscript.pt", make_zip(pth_entries() + [entry("m/constants.pkl", b"\x80\2).")]), "TorchScript")
    case("zip-two-pickles.pth", make_zip(pth_entries() + [entry("n/data.pkl", b"\x80\2).")]), "two data.pkl")
    case("zip-compressed.pth", make_zip(changed(1, method=8, local_method=8)), "compressed (method 8)")
    case("zip-local-compressed.pth", make_zip(changed(1, local_method=8)), "its header and the directory disagree")
    case("zip-encrypted.pth", make_zip(changed(1, flags=0x809)), "encrypted")
    case("zip-split-entry.pth", make_zip(changed(1, disk=1)), "in another file")
    case("zip-split.pth", pth(disks=2), "split over several files")
    case("zip-split-record.pth", pth(disk=1), "split over several files")
    case("zip-split-end.pth", pth(disk32=1), "split over several files")
    case("zip-same-bytes-twice.pth", make_zip(pth_entries() + [entry("m/version", b"3\n", no_local=True, at=0)]), "another name")
    case("zip-overlap.pth", make_zip(changed(1, size=400)), "two entries overlap")
    case("zip-overlap-directory.pth", make_zip(changed(4, size=400)), "overlaps the directory")
    case("zip-beyond-file.pth", make_zip(changed(4, size=2**40)), "overlaps the directory")
    case("zip-size-wraps.pth", make_zip(changed(1, size=2**64 - 1)), "outside 64 bits")
    case("zip-size-2-63.pth", make_zip(changed(1, size=2**63)), "two entries overlap")
    case("zip-two-sizes.pth", make_zip(changed(1, packed=95)), "two sizes differ")
    case("zip-offset-beyond-file.pth", make_zip(changed(1, at=10**6)), "truncated")
    case("zip-offset-wraps.pth", make_zip(changed(1, at=2**64 - 5)), "outside 64 bits")
    case("zip-offset-wrong.pth", make_zip(changed(1, at=7)), "not where the directory says")
    case("zip-duplicate-name.pth", make_zip(pth_entries() + [entry("m/data/0", FLOATS)]), "two entries have this name")
    case("zip-two-ends.pth", pth(comment=b"PK\5\6" + bytes(16) + b"\0\0"), "two end records")
    case("zip-prefix.pth", make_zip(pth_entries(), before=b"PK\3\4" + bytes(60)), "bytes stand before its first entry")
    case("zip-trailing.pth", pth(after=b"junk"), "truncated: a zip archive without its directory")
    case("zip-local-name.pth", make_zip(changed(1, local_name="m/data/9")), "another name")
    case("zip-local-size.pth", make_zip(changed(1, local_size=95)), "disagree")
    case("zip-local-crc.pth", make_zip(changed(1, local_crc=5)), "disagree")
    case("zip-pickle-crc.pth", make_zip(changed(0, crc=5)), "do not match their checksum")
    case("zip-count-too-large.pth", pth(count=6), "fewer entries")
    case("zip-count-too-small.pth", pth(count=4), "more entries")
    case("zip-count-2-63.pth", pth(count=2**63), "more than 100000 entries")
    case("zip-counts-differ.pth", pth(count32=3), "two end records disagree")
    case("zip-directory-at-wrong.pth", pth(directory_at=5), "does not end at")
    case("zip-directory-too-long.pth", pth(directory_size=2**50), "does not end at")
    case("zip-directory-wraps.pth", pth(directory_size=2**64 - 1), "outside 64 bits")
    case("zip-plain-directory-wrong.pth", make_zip(pth_entries(), zip64=False, directory_at=5), "does not end at the end record")
    case("zip64-locator-outside.pth", pth(locator=2**64 - 8), "outside the file")
    case("zip64-locator-wrong.pth", pth(locator=3), "not where its locator says")
    case("zip64-magic.pth", pth(magic64=b"PK\6\5"), "not where its locator says")
    case("zip64-size.pth", pth(size64=2**64 - 3), "outside 64 bits")
    case("zip-name-empty.pth", make_zip(pth_entries() + [entry("", b"")]), "its name is empty")
    case("zip-name-long.pth", make_zip(pth_entries() + [entry("m/" + "x" * 1023, b"")]), "longer than 1024")
    case("zip-big-endian.pth", make_zip(pth_entries() + [entry("m/byteorder", b"big")]), 'byte order "big"')
    case("zip-storage-missing.pth", make_zip([e for e in pth_entries() if e["name"] != "m/data/0"]), "has no m/data/0")
    case("zip-bytes-after-pickle.pth", pth(pickle(mapping(VALID)) + b"xx"), "2 bytes follow")


def opcodes():
    case("pickle-os-system.pth", pth(pickle(name("os system") + b"(" + text("id") + b"tR")), "Python object os.system")
    case("pickle-eval.pth", pth(pickle(name("builtins eval") + b"(" + text("1") + b"tR")), "Python object builtins.eval")
    case("pickle-stack-global.pth", pth(pickle(text("posix") + text("system") + b"\x93")), "Python object posix.system")
    case("pickle-global-in-value.pth", pth(pickle(mapping(VALID + [("args", name("argparse Namespace"))]))), "argparse.Namespace")
    case("pickle-escape-in-name.pth", pth(pickle(b"cos\n\x1b[2Jx\n")), "os.\\x1b[2Jx")
    for opcode, code in {"INST": b"(ios\nsystem\n", "OBJ": b"(" + name("torch FloatStorage") + b"o", "EXT1": b"\x82\1",
                         "NEWOBJ": name("torch FloatStorage") + b")\x81", "PERSID": b"P0\n", "POP": b")0", "GET": b"g0\n",
                         "BYTEARRAY8": b"\x96" + bytes(8), "UNICODE": b"Va\n", "(unknown)": b"\xff"}.items():
        case(f"pickle-opcode-{opcode.strip('()').lower()}.pth", pth(pickle(code)), f"opcode {opcode}: code")
    case("pickle-build-on-list.pth", pth(pickle(b"]}b")), "BUILD: expected attributes")
    case("pickle-build-with-tensor.pth", pth(pickle(b"}" + tensor() + b"b")), "BUILD: expected attributes")
    case("pickle-build-number-keys.pth", pth(pickle(b"}}(K\1K\2ub")), "BUILD: expected names")
    case("pickle-dict-arguments.pth", pth(pickle(name("collections OrderedDict") + b"(K\1tR")), "without arguments")
    case("pickle-call-storage.pth", pth(pickle(name("torch FloatStorage") + b")R")), "cannot be called")
    case("pickle-call-text.pth", pth(pickle(text("a") + b")R")), "expected a global, found a str")
    case("pickle-call-list.pth", pth(pickle(name("collections OrderedDict") + b"]R")), "expected a tuple of arguments")
    case("pickle-parameter-of-none.pth", pth(pickle(name("torch._utils _rebuild_parameter") + b"(N\x88tR")), "expected a tensor")
    case("pickle-memo-sparse.pth", pth(pickle(b")r" + struct.pack("<I", 2**31))), "memo slot 2147483648")
    case("pickle-memo-empty.pth", pth(pickle(b"h\5")), "memo slot 5 is empty")
    case("pickle-put-nothing.pth", pth(pickle(b"q\0")), "the stack is empty")
    case("pickle-underflow.pth", pth(pickle(b"\x87")), "the stack is empty")
    case("pickle-underflow-mark.pth", pth(pickle(b"K\1(\x85")), "the stack is empty")
    case("pickle-no-mark.pth", pth(pickle(b"t")), "no MARK")
    case("pickle-stop-alone.pth", pth(b"\x80\2."), "the stack is empty")
    case("pickle-left-over.pth", pth(pickle(b"K\1K\2")), "left on the stack")
    case("pickle-open-mark.pth", pth(pickle(b"K\1(K\2")), "left on the stack")
    case("pickle-no-stop.pth", pth(b"\x80\2}"), "without STOP")
    case("pickle-ends-in-number.pth", pth(b"\x80\2J\0"), "inside a value")
    case("pickle-long1-too-long.pth", pth(b"\x80\2\x8a\xff" + bytes(10)), "255 bytes where 10 are left")
    case("pickle-text-2-32.pth", pth(pickle(b"X\xff\xff\xff\xff")), "a text of 4294967295 bytes")
    case("pickle-text-negative.pth", pth(pickle(b"T\xff\xff\xff\xff")), "a text of 4294967295 bytes")
    case("pickle-text-beyond-end.pth", pth(pickle(b"X\0\1\0\0")), "256 bytes where")
    case("pickle-deep-tuples.pth", pth(pickle(b")" + b"\x85" * 200)), "nested deeper than 64")
    case("pickle-deep-marks.pth", pth(pickle(b"(" * 200)), "nested deeper than 64")
    case("pickle-deep-lists.pth", pth(pickle(b"]" * 200 + b"a" * 199)), "nested deeper than 64")
    case("pickle-list-in-itself.pth", pth(pickle(b"]q\0" + b"h\0a" * 70)), "nested deeper than 64")
    case("pickle-dict-in-itself.pth", pth(pickle(b"}q\0" + text("model") + b"h\0s")), "without tensors")
    case("pickle-protocol-6.pth", pth(pickle(b")", 6)), "protocol 6")
    case("pickle-frame.pth", pth(pickle(b"\x95" + struct.pack("<Q", 2**63) + b")", 4)), "a frame of 9223372036854775808 bytes")
    case("pickle-key-without-value.pth", pth(pickle(b"}(K\1u")), "a key without value")
    case("pickle-setitem-on-list.pth", pth(pickle(b"]K\1K\2s")), "expected a dict, found a list")
    case("pickle-setitems-on-tensor.pth", pth(pickle(tensor() + b"(K\1K\2u")), "expected a dict, found a tensor")
    case("pickle-append-to-dict.pth", pth(pickle(b"}K\1a")), "expected a list, found a dict")
    case("pickle-persistent-text.pth", pth(pickle(text("0") + b"Q")), "expected ('storage'")
    case("pickle-persistent-type.pth", pth(pickle(b"(" + text("storage") + name("torch float32") + text("0") + text("cpu")
                                                  + b"K\1tQ")), "expected a storage type")
    case("pickle-complex-storage.pth", one(tensor(storage("ComplexFloat"))), "torch.ComplexFloatStorage")


def tensors():
    case("tensor-alone.pth", pth(pickle(tensor())), "expected a map of names to tensors, found a tensor")
    case("tensor-list.pth", pth(pickle(b"](" + tensor() + b"e")), "found a list")
    case("tensor-none.pth", pth(pickle(mapping([("lr", b"K\1"), ("epoch", b"N")]))), "with the keys: lr, epoch")
    case("tensor-name-number.pth", pth(pickle(b"}K\1" + tensor() + b"s")), "name is not a text")
    case("tensor-name-long.pth", pth(pickle(mapping([("x" * 513, tensor())]))), "longer than 512")
    case("tensor-name-twice.pth", pth(pickle(mapping([("w", tensor()), ("w", tensor())]))), "two tensors have this name")
    case("tensor-offset-negative.pth", one(tensor(offset=-1)), "expected a number >= 0 as offset")
    case("tensor-offset-beyond.pth", one(tensor(offset=1)), "elements 1 to 25 of a storage of 24")
    case("tensor-offset-wraps.pth", one(tensor(offset=BIG)), "of a storage of 24")
    case("tensor-stride-negative.pth", one(tensor(offset=23, stride=(-6, 1))), "stride -6 is not supported")
    case("tensor-stride-zero.pth", one(tensor(stride=(0, 1))), "stride 0 is not supported")
    case("tensor-stride-beyond.pth", one(tensor(stride=(7, 1))), "elements 0 to 27 of a storage of 24")
    case("tensor-stride-wraps.pth", one(tensor(stride=(BIG, BIG))), "outside 64 bits")
    case("tensor-overlaps-itself.pth", one(tensor(shape=(12, 12), stride=(1, 1))), "share memory")
    case("tensor-shape-wraps.pth", one(tensor(shape=(2**40,) * 4, stride=(1,) * 4)), "of a storage of 24")
    case("tensor-dimension-negative.pth", one(tensor(shape=(-4, 6))), "a dimension of -4")
    case("tensor-dimension-huge.pth", one(tensor(shape=(2**41, 0))), "a dimension of 2199023255552")
    case("tensor-dimension-text.pth", one(tensor(shape=()).replace(b"(t", b"(" + text("4") + b"t", 1)), "expected numbers as shape")
    case("tensor-nine-dimensions.pth", one(tensor(shape=(1,) * 9, stride=(1,) * 9)), "9 dimensions")
    case("tensor-stride-missing.pth", one(tensor(stride=(1,))), "differ in length")
    case("tensor-without-storage.pth", one(tensor(held=b"N")), "expected (storage, offset, shape, stride)")
    case("tensor-storage-too-short.pth", one(tensor(storage(numel=48), shape=(8, 6))), "should have 48 elements")
    case("tensor-storage-too-long.pth", one(tensor(storage(numel=6), shape=(6,), stride=(1,))), "should have 6 elements")
    case("tensor-storage-numel-2-62.pth", one(tensor(storage(numel=2**62))), "outside 64 bits")
    case("tensor-storage-numel-negative.pth", one(tensor(storage(numel=-1))), "expected a number >= 0 as size")
    case("tensor-storage-path.pth", one(tensor(storage(key="../../../etc/passwd"))), "has no m/data/../../../etc/passwd")
    case("tensor-storage-view.pth", one(tensor(storage(view=(20, 8)))), "a view is larger than its storage")


def legacies():
    case("legacy-not-torch.pkl", pickle(mapping([("a", b"K\1")])), "not one of torch.save")
    case("legacy-magic.pth", legacy(magic=MAGIC.replace(b"\x50\x19", b"\x50\x18")), "not one of torch.save")
    case("legacy-protocol.pth", legacy(protocol=1002), "torch protocol version is not 1001")
    case("legacy-big-endian.pth", legacy(little=b"\x89"), "byte order is not little")
    case("legacy-key-unused.pth", legacy(keys=("k0", "k9")), "storage k9: no tensor uses it")
    case("legacy-key-twice.pth", legacy(keys=("k0", "k0")), "storage k0")
    case("legacy-key-missing.pth", legacy(keys=("k0",), counts=(24,)), "its storage is not in the file")
    case("legacy-keys-not-list.pth", legacy(keys=pickle(b"K\1")), "list of storages is not a list")
    case("legacy-count-negative.pth", legacy(counts=(24, -12)), "a size of -12 elements")
    case("legacy-count-2-62.pth", legacy(counts=(2**62, 12)), "outside 64 bits")
    case("legacy-count-large.pth", legacy(counts=(24, 13)), "truncated: storage k1")
    case("legacy-count-small.pth", legacy(counts=(24, 11)), "2 bytes follow")
    case("legacy-trailing.pth", legacy(after=b"x"), "1 bytes follow the last storage")
    case("legacy-truncated.pth", legacy()[:-1], "truncated: storage k1")
    two = mapping([("a", tensor(storage(key="k0", view=()))), ("b", tensor(storage("Half", "k0", 24, view=())))])
    case("legacy-two-types.pth", legacy(body=two), "two types")
    full = mapping([("a", tensor(storage(key="k0", view=()))),
                    ("b", tensor(storage("Half", "k1", 12, view=(3, 6)), 1, (2, 3), (3, 1)))])
    case("legacy-view-outside.pth", legacy(body=full), "elements 1 to 7 of a storage of 6")
    case("legacy-os-system.pth", legacy(body=name("os system") + b"(" + text("id") + b"tR"), "Python object os.system")


def headers():
    data = bytes(24)
    case("st-length-beyond-file.safetensors", safetensors({"a": spec()}, data, length=5000), "header needs 5008 bytes")
    case("st-length-17-mib.safetensors", safetensors({"a": spec()}, data, length=17 << 20), "at most 16777216 are read")
    case("st-length-0.safetensors", safetensors({"a": spec()}, data, length=0), "does not start with {")
    case("st-length-short.safetensors", safetensors({"a": spec()}, data, length=20), "not JSON at its byte")
    case("st-json-cut.safetensors", safetensors('{"a":', data), "not JSON")
    case("st-json-trailing.safetensors", safetensors('{"a":%s}x' % json.dumps(spec()), data), "not JSON")
    case("st-bad-utf8.safetensors", safetensors(b'{"\xff\xfe":' + json.dumps(spec()).encode() + b"}", data), "not JSON")
    case("st-deep.safetensors", safetensors('{"a":' + "[" * 3000), "a list where none belongs")
    case("st-deep-objects.safetensors", safetensors('{"a":' * 3000), "key \"a\" is unknown")
    case("st-name-twice.safetensors", safetensors('{"a":%s,"a":%s}' % (json.dumps(spec()), json.dumps(spec(offsets=(24, 48)))),
                                                   data * 2), "two tensors have this name")
    case("st-dtype-twice.safetensors", safetensors('{"a":{"dtype":"F32","dtype":"F32"}}'), "unknown or there twice")
    case("st-unknown-key.safetensors", safetensors({"a": {**spec(), "evil": 1}}, data), 'key "evil" is unknown')
    case("st-float.safetensors", safetensors({"a": spec(shape=(2.0, 3))}, data), "the number 2.0")
    case("st-negative.safetensors", safetensors({"a": spec(shape=(-2, 3))}, data), "the negative number -2")
    case("st-exponent.safetensors", safetensors('{"a":{"shape":[2e0,3]}}', data), "the number 2e0")
    case("st-2-64.safetensors", safetensors({"a": spec(shape=(2**64, 3))}, data), "the number 18446744073709551616")
    case("st-null.safetensors", safetensors({"a": None}, data), "null")
    case("st-true.safetensors", safetensors({"a": {"dtype": True}}, data), "true or false")
    case("st-text-shape.safetensors", safetensors({"a": {**spec(), "shape": "x"}}, data), "a text where none belongs")
    case("st-list-top.safetensors", b"\5" + bytes(7) + b"{1}  " + data, "not JSON")
    case("st-missing-shape.safetensors", safetensors({"a": {"dtype": "F32", "data_offsets": [0, 24]}}, data), "needs dtype, shape")
    case("st-one-offset.safetensors", safetensors({"a": spec(offsets=(24,))}, data), "two data_offsets")
    case("st-three-offsets.safetensors", safetensors({"a": spec(offsets=(0, 24, 24))}, data), "a number where none belongs")
    case("st-nine-dimensions.safetensors", safetensors({"a": spec(shape=(1,) * 9)}, data), "more than 8 dimensions")
    case("st-overlap.safetensors", safetensors({"a": spec(), "b": spec(offsets=(8, 32))}, data + bytes(8)), "tensors must follow")
    case("st-same-bytes.safetensors", safetensors({"a": spec(), "b": spec()}, data), "tensors must follow")
    case("st-hole.safetensors", safetensors({"a": spec(), "b": spec(offsets=(32, 56))}, data * 3), "tensors must follow")
    case("st-hole-first.safetensors", safetensors({"a": spec(offsets=(8, 32))}, data + bytes(8)), "tensors must follow")
    case("st-trailing.safetensors", safetensors({"a": spec()}, data + b"x"), "1 bytes follow the last tensor")
    case("st-truncated.safetensors", safetensors({"a": spec()}, data[:-1]), "the download is incomplete")
    case("st-offsets-reversed.safetensors", safetensors({"a": spec(offsets=(24, 0))}, data), "data_offsets are 24 to 0")
    case("st-offsets-2-64.safetensors", safetensors({"a": spec("U8", (2**40,), (2**64 - 1 - 2**40, 2**64 - 1))}, data), "tensors must follow")
    case("st-shape-differs.safetensors", safetensors({"a": spec(shape=(2, 4))}, data), "f32 [2, 4] needs 32 bytes")
    case("st-shape-wraps.safetensors", safetensors({"a": spec(shape=(2**31, 2**31, 4, 1))}, data), "outside 64 bits")
    case("st-shape-wraps-to-size.safetensors", safetensors({"a": spec("U8", (2**36, 2**28, 1), (0, 0))}, b""), "outside 64 bits")
    case("st-dimension-2-63.safetensors", safetensors({"a": spec("U8", (BIG, 2, 1, 1))}, data), "a dimension of 9223372036854775807")
    case("st-f8.safetensors", safetensors({"a": spec("F8_E4M3", (24,))}, data), 'type "F8_E4M3" is not supported')
    case("st-u64.safetensors", safetensors({"a": spec("U64", (3,))}, data), 'type "U64" is not supported')
    case("st-metadata-list.safetensors", safetensors({"__metadata__": ["a"]}, data), "a list where none belongs")
    case("st-metadata-number.safetensors", safetensors({"__metadata__": {"a": 1}}, data), "a number where none belongs")
    case("st-metadata-object.safetensors", safetensors({"__metadata__": {"a": {}}}, data), "an object where none belongs")
    case("st-metadata-twice.safetensors", safetensors('{"__metadata__":{},"__metadata__":{}}'), "__metadata__ is there twice")
    case("st-metadata-key-twice.safetensors", safetensors('{"__metadata__":{"a":"b","a":"c"}}'), "a key of __metadata__")
    case("st-no-tensors.safetensors", safetensors({"__metadata__": {"a": "b"}}), "holds no tensors")
    case("st-name-long.safetensors", safetensors({"x" * 513: spec()}, data), "longer than 512")


def valid():
    """What real files have: wrappers of trainers, prefixes, plain values, newer protocols, no zip64."""
    prefixed = [("_forward_module.model." + k, v) for k, v in VALID]
    optimizer = b"}(K\0" + mapping([("exp_avg", tensor()), ("step", b"G" + struct.pack(">d", 1.5))]) + b"u"
    wrapped = mapping([("epoch", b"K\3"), ("args", mapping([("name", text("x")), ("sizes", b"](K\1K\2e")])),
                       ("state_dict", mapping(prefixed)), ("optimizer", optimizer)])
    metadata = b"}(" + text("_metadata") + ORDERED_DICT + b"ub"
    ordered = ORDERED_DICT + mapping(VALID)[1:] + metadata
    short = b"\x8c\1w\x94" + tensor().replace(name("torch._utils _rebuild_tensor_v2"),
                                             b"\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94\x93\x94")
    return {"valid.pth": pth(), "valid-legacy.pth": legacy(), "valid.safetensors": valid_safetensors(),
            "valid-wrapped.pth": pth(pickle(wrapped)), "valid-ordered.pth": pth(pickle(ordered)),
            "valid-plain-zip.pth": pth(zip64=False, comment=b"a comment"),
            "valid-no-crc.pth": make_zip(changed(0, crc=0)),
            "valid-protocol-4.pth": pth(pickle(b"\x95" + struct.pack("<Q", len(short) + 4) + b"}(" + short + b"u", 4)),
            "valid-byte-order.pth": make_zip(pth_entries(folder="archive") + [entry("archive/byteorder", b"little")])}


def make_torch():
    """Real files, for what a hand-made layout may have missed; made with torch 1.13."""
    import torch
    held = torch.arange(24, dtype=torch.float32) / 8
    half = torch.arange(12, dtype=torch.float16).reshape(3, 4)
    tensors = {"a": held.reshape(4, 6), "b": half.t(), "c": held[2:20:3], "d": torch.nn.Parameter(torch.ones(2, 2)),
               "e": torch.arange(10, dtype=torch.uint8), "f": torch.zeros(0, 3), "g": torch.tensor(2.5, dtype=torch.bfloat16)}
    torch.save(tensors, HERE / "valid-torch.pth")
    torch.save(tensors, HERE / "valid-torch-legacy.pth", _use_new_zipfile_serialization=False)


def main():
    for make in (contents, zips, opcodes, tensors, legacies, headers):
        make()
    for file, data in valid().items():
        (HERE / file).write_bytes(data)
    for file, (data, _) in CASES.items():
        (HERE / file).write_bytes(data)
    table = {file: message for file, (_, message) in sorted(CASES.items())}
    (HERE / "expected.json").write_text(json.dumps(table, indent=1) + "\n")
    if "--torch" in sys.argv:
        make_torch()


main()
