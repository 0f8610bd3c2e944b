# SPDX-License-Identifier: Apache-2.0
# Installs the system packages that building needs, also the Python package: bash tools/setup.sh
# Sourced by quickstart.sh and test.sh, from the root of the sources: functions that install what is missing and configure.

# need PACKAGE...: these Debian/Ubuntu packages are installed when this function returns.
need() {
  local missing=()
  if ! command -v dpkg-query > /dev/null; then
    echo "not a Debian or Ubuntu: what these packages hold must be there already: $*" >&2
    return 0
  fi
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2> /dev/null; then
      echo "Run this once, then this script again:" >&2
      echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
      exit 1
    fi
    sudo=(sudo -n)
  fi
  echo "installing ${missing[*]}" >&2
  "${sudo[@]}" apt-get update -q > /dev/null
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" > /dev/null
}

need_build_packages() {
  need g++ cmake ninja-build libhwy-dev nlohmann-json3-dev libutf8proc-dev libcli11-dev "$@"
}

# configure PRESET [CMAKE OPTION]...: in build/PRESET; quiet unless it fails.
configure() {
  local preset=$1 log
  shift
  log=$(cmake --preset "$preset" "$@" 2>&1) || { echo "$log" >&2; return 1; }
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  set -euo pipefail
  need_build_packages python3-venv python3-dev
fi
