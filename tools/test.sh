#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: installs what is missing, builds, tests everything (readers of files under sanitizers, units, golden values, CUDA's kernels
# on an emulator, programs, installation), then the Python package, installed by pip in a new environment (build/venv). Arguments go
# to cmake.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh

need_build_packages ccache libgtest-dev python3 python3-venv python3-dev
# pip compiles the library once more: it gets what was compiled before.
if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
  export CCACHE_DIR="${CCACHE_DIR:-$PWD/build/ccache}" CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  export CCACHE_SLOPPINESS=locale CXX="${CXX:-c++}"  # Python sets LC_CTYPE, and pip the name of the compiler
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Of all Python tests; those on CUDA's emulator are part of the build (tests/cuemu/python).
python=build/venv/bin/python
python3 -m venv --clear build/venv
$python -m pip install -q --disable-pip-version-check -r tests/python/requirements.txt

configure release -DRWKV_TESTS=ON -DRWKV_TOOLS=ON "-DPython_EXECUTABLE=$PWD/$python" "$@"
cmake --build build/release
status=0
ctest --test-dir build/release --output-on-failure --no-tests=error -j "$(nproc)" 2>&1 | tee -a "$log" || status=$?

check_types() {
  $python -m mypy --strict python/rwkvcpp python/examples tests/python/typed_program.py || return
  $python -m mypy.stubtest rwkvcpp --allowlist tests/python/stubtest_allowlist.txt --ignore-unused-allowlist
}

# python_tests [CMAKE OPTION]...
python_tests() {
  local option options=() types=build/types.log failed=0
  for option in "$@"; do
    options+=(--config-settings "cmake.args=$option")
  done
  $python -m pip install -q --disable-pip-version-check "${options[@]}" . || return
  check_types > "$types" 2>&1 &
  $python -m pytest -q -rs tests/python || failed=1
  wait $! || failed=1
  cat "$types"
  return $failed
}
python_tests "$@" 2>&1 | tee -a "$log" || status=$?

# Tests that need a file or a device that is not here say "skipped: ...".
echo
grep -hoE "skipped: [^']*" "$log" build/release/Testing/Temporary/LastTest.log | sort | uniq -c || echo "nothing was skipped"
grep -E 'tests passed|^[0-9]+ passed' "$log"
exit $status
