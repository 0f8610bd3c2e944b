#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests: installs what is missing, builds, tests the readers of files under AddressSanitizer and
# UndefinedBehaviorSanitizer, then everything (units, golden values, programs, installation). Arguments go to cmake.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh

need_build_packages libgtest-dev python3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# -O1 and line numbers only: builds in 60 % of the time, and the sanitizers see as much.
configure asan -DRWKV_TESTS=ON -DRWKV_TOOLS=OFF -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O1 -g1" "$@"
cmake --build build/asan --target reader_tests
build/asan/tests/reader_tests --gtest_brief=1 | tee "$log"

configure release -DRWKV_TESTS=ON -DRWKV_TOOLS=ON "$@"
cmake --build build/release
status=0
ctest --test-dir build/release --output-on-failure --no-tests=error -j "$(nproc)" 2>&1 | tee -a "$log" || status=$?

# Tests that need a file or a device that is not here say "skipped: ...".
echo
grep -hoE "skipped: [^']*" "$log" build/release/Testing/Temporary/LastTest.log | sort | uniq -c || echo "nothing was skipped"
grep 'tests passed' "$log"
exit $status
