#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What only an NVIDIA card can show, in at most ten minutes: all CUDA tests on it, compute-sanitizer, and the speeds of models of
# published sizes beside the card's limits. Writes docs/results/DATE-CARD.json and .md; fails if a test does.
#   bash tools/gpu_check.sh               builds for this machine's first card, then checks
#   bash tools/gpu_check.sh --build 90    builds only, for sm_90, on any machine with nvcc; into build/gpu
#   bash tools/gpu_check.sh --no-build    checks what is in build/gpu, on a machine without a compiler
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh
start=$(date +%s)
PATH=$PATH:/usr/local/cuda/bin:/usr/local/nvidia/bin

build() {
  command -v nvcc > /dev/null || [ -x "${CUDA_PATH:-}/bin/nvcc" ] ||
    { echo "no nvcc: tools/get_cuda.sh gets one" >&2; exit 1; }
  need_build_packages libgtest-dev
  local log
  log=$(cmake -S . -B build/gpu -G Ninja -DCMAKE_BUILD_TYPE=Release -DRWKV_CUDA=ON "-DRWKV_CUDA_ARCHITECTURES=$1-real" \
    -DRWKV_TESTS=ON 2>&1) || { echo "$log" >&2; exit 1; }
  cmake --build build/gpu --target cuda_tests cuda_engine_tests rwkv-bench
}

# The first card that CUDA has, which by itself counts the fastest first.
export CUDA_DEVICE_ORDER=PCI_BUS_ID
card() {
  local first=${CUDA_VISIBLE_DEVICES:-0}
  nvidia-smi --id="${first%%,*}" --query-gpu="$1" --format=csv,noheader
}

case ${1:-} in
  --build) build "${2:?--build needs the architecture: 90 for sm_90}"; exit ;;
  "" | --no-build) ;;
  *) echo "gpu_check.sh: unknown option $1" >&2; exit 2 ;;
esac
name=$(card name 2> /dev/null) || { echo "no NVIDIA driver: nvidia-smi finds no card here" >&2; exit 1; }
[ "${1:-}" = --no-build ] || build "$(card compute_cap | tr -d .)"
python3 tools/gpu_check.py --build build/gpu --card "$name" --driver "$(card driver_version)" --since "$start"
