#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a clone to text: installs what is missing, builds rwkv-generate and continues a text with the bundled model.
# Run again it only generates. Arguments go to rwkv-generate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh

need_build_packages
[ -f build/release/build.ninja ] || configure release -DRWKV_TESTS=OFF
cmake --build build/release --target rwkv-generate
if [ $# -gt 0 ]; then
  exec build/release/tools/rwkv-generate "$@"
fi
prompt="Once upon a time"
echo
echo "build/release/tools/rwkv-generate -p \"$prompt\" -n 120 -v"
build/release/tools/rwkv-generate -p "$prompt" --display-prompt -n 120 -v < /dev/null
