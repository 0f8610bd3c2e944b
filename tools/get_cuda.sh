#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts a CUDA toolkit together in a folder, from NVIDIA's packages for pip, without root: bash tools/get_cuda.sh DIR
# What this project needs: the compiler, headers, the static runtime and, for use, cuBLAS. 0.9 GB; removed by removing DIR.
set -euo pipefail

# Of one toolkit: parts of different ones need not fit. cuBLAS counts by itself; this is the one of CUDA 13.0.
packages=(nvidia-cuda-{nvcc,crt,runtime,cccl}==13.0.* nvidia-nvvm==13.0.* nvidia-cublas==13.1.*)

if [ $# -ne 1 ]; then
  echo "usage: bash tools/get_cuda.sh DIR" >&2
  exit 2
fi
mkdir -p "$1"
dir=$(cd "$1" && pwd)
if [ -n "$(ls -A "$dir")" ]; then
  echo "$dir is not empty" >&2
  exit 1
fi
if ! python3 -m pip --version > /dev/null 2>&1; then
  echo "python3 has no pip here; on Debian and Ubuntu: python3 -m venv ENVIRONMENT && . ENVIRONMENT/bin/activate" >&2
  exit 1
fi
python3 -m pip install --disable-pip-version-check --quiet --no-cache-dir --no-deps --only-binary=:all: \
  --target "$dir/packages" "${packages[@]}"

# The packages share the folder nvidia/cu13, which is a toolkit but for some links.
mv "$dir"/packages/nvidia/cu13/* "$dir"
rm -r "$dir/packages"
ln -s lib "$dir/lib64"
for library in "$dir"/lib/*.so.*; do
  link=${library%.so.*}.so
  [ -e "$link" ] || ln -s "$(basename "$library")" "$link"
done

"$dir/bin/nvcc" --version | tail -n 2
echo "For CMake and pip: export CUDA_PATH=$dir"
