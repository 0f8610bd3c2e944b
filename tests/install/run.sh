#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD: installs BUILD, moves the installation, and builds and runs a project that uses it, all outside the repository.
set -euo pipefail
build=$1
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$build" --prefix "$folder/first" > /dev/null
mv "$folder/first" "$folder/moved"
cp -r "$source/tests/install/consumer" "$folder/consumer"
cmake -G Ninja -S "$folder/consumer" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$folder/moved"
cmake --build "$folder/build"
model=$source/tests/data/models/random-v7.pth
token=$("$folder/build/consumer" "$model")
[ "$token" -ge 0 ] && [ "$token" -lt 97 ]

"$folder/moved/bin/rwkv-convert" "$model" "$folder/model.safetensors" --type fp16 --no-tokenizer
"$folder/moved/bin/rwkv-generate" -m "$folder/model.safetensors" --info
if [ -e "$source/tools/demo_model/demo.safetensors" ]; then
  # The model of the installation, not the one in the source tree.
  "$folder/moved/bin/rwkv-generate" -p "Once upon a time" -n 8 2>&1 | grep "$folder/moved/share/rwkv/demo.safetensors"
fi
"$folder/moved/bin/rwkv-bench" -m "$folder/model.safetensors" --decode 1 --prefill 0 --batch 0 --repeat 1 -t 1
[ -e "$folder/moved/share/rwkv/bench_plot.py" ]
