#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Python package's thread tests, and the engine's, under ThreadSanitizer: too slow for every change, for nightly runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/setup.sh

need_build_packages libgtest-dev python3 python3-venv python3-dev
python3 -m venv --clear build/venv-tsan
python=$PWD/build/venv-tsan/bin/python
$python -m pip install -q --disable-pip-version-check -r tests/python/requirements.txt
configure tsan -DRWKV_TESTS=ON -DRWKV_TOOLS=OFF -DRWKV_PYTHON=ON "-DPython_EXECUTABLE=$python"
cmake --build build/tsan --target engine_tests rwkv_python

# In a file: pytest takes what goes to the standard error.
export TSAN_OPTIONS="exitcode=66 log_path=$PWD/build/tsan/report suppressions=$PWD/tests/python/tsan.supp"
rm -f build/tsan/report.*
build/tsan/tests/engine_tests --gtest_brief=1 --gtest_filter='ThreadPool*:*Batch*:BusyState*'
# Python itself is not instrumented, so the runtime has to be there before it.
status=0
LD_PRELOAD=$(g++ -print-file-name=libtsan.so) PYTHONPATH=build/tsan/python $python -m pytest -q -m threads -p no:cacheprovider \
  --timeout 600 tests/python || status=$?
cat build/tsan/report.* 2> /dev/null && status=66
exit $status
