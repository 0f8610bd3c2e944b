#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fuzzes each reader and tokenizer: run.sh [seconds each, default 60] [reader ...]. Needs clang (CXX); works in FUZZ_DIR, default build-fuzz.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
work=${FUZZ_DIR:-build-fuzz}
seconds=${1:-60}
[ $# -gt 0 ] && shift
mkdir -p "$work"
# Wrapping is allowed in the standard library only: readers use Checked. Tokenizers may wrap: their hashes do.
printf 'src:/usr/*\n' > "$work/ignore"
flags="-std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I$root/include -I$root/src -I$root
  -DRWKV_TEST_DATA=\"$root/tests/data\""
sources="$root/src/message.cpp $(ls "$root"/src/checkpoint/*.cpp | grep -v -e atomic_file -e writer)"
text_sources="$root/src/message.cpp $root/src/checkpoint/byte_source.cpp
  $(ls "$root"/src/text/*.cpp | grep -v find_tokenizer)"
mkdir -p "$work/seeds-pickle"
python3 - "$root/tests/data/malformed" "$work/seeds-pickle" <<'PYTHON'
import pathlib, sys, zipfile
for file in pathlib.Path(sys.argv[1]).glob("*.pth"):
    try:
        archive = zipfile.ZipFile(file)
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        pathlib.Path(sys.argv[2], file.name).write_bytes(archive.read(name))
    except Exception:  # most of these archives are damaged on purpose
        pass
PYTHON
for reader in ${*:-open pickle zip safetensors world_tokenizer bpe_tokenizer encode_tokenizer}; do
  more="-fsanitize=unsigned-integer-overflow -fsanitize-ignorelist=$work/ignore $sources"
  seeds=$root/tests/data/malformed
  case $reader in
    pickle) seeds=$work/seeds-pickle ;;
    *_tokenizer) more="$text_sources -lutf8proc" seeds=$root/tests/data/tokenizer ;;
  esac
  # shellcheck disable=SC2086
  ${CXX:-clang++} $flags "$here/${reader}_fuzz.cpp" $more -o "$work/$reader"
  mkdir -p "$work/corpus-$reader"
  "$work/$reader" -max_total_time="$seconds" -timeout=2 -rss_limit_mb=512 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$work/$reader-" "$work/corpus-$reader" "$seeds"
done
