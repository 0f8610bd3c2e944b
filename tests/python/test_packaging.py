# SPDX-License-Identifier: Apache-2.0
"""What pip installs: complete, and in need of nothing that a machine without a compiler lacks."""

import importlib.metadata
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from conftest import REPOSITORY

import rwkvcpp

PACKAGE = Path(rwkvcpp.__file__).parent

# Of a bare Debian or Ubuntu, beside the C and C++ libraries: nothing.
SYSTEM = re.compile(r"(linux-vdso|ld-linux|libc|libm|libgcc_s|libstdc\+\+|libpthread|libdl|librt)[-.]")


@pytest.fixture(scope="module")
def installed():
    if PACKAGE.parent not in (Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))):
        pytest.skip("skipped: rwkvcpp is not installed, it stands in a build folder")
    return importlib.metadata.distribution("rwkvcpp")


def test_the_version_is_that_of_the_sources(installed):
    project = re.search(r"project\(rwkv VERSION ([0-9.]+)", (REPOSITORY / "CMakeLists.txt").read_text()).group(1)
    assert installed.version == rwkvcpp.__version__ == project


def test_numpy_is_the_only_dependency(installed):
    assert [need for need in installed.requires if "extra" not in need] == ["numpy"]


def test_all_files_of_the_package_are_there_and_no_headers_or_static_libraries(installed):
    sources = {file.name for file in (REPOSITORY / "python" / "rwkvcpp").iterdir() if file.is_file()}
    there = {Path(file).name for file in installed.files}
    assert sources <= there
    assert {"demo.safetensors", "rwkv-generate", "rwkv-convert", "LICENSE"} <= there
    assert not [name for name in there if name.endswith((".h", ".a", ".cmake", ".cpp"))]


def test_shared_libraries_are_the_systems_or_the_packages_own(installed):
    for file in [*PACKAGE.glob("_core*.so"), *(PACKAGE / "bin").iterdir()]:
        found = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
        for line in found.splitlines():
            name, _, path = line.strip().partition(" => ")
            own = path and Path(path.split(" ")[0]).resolve().is_relative_to(PACKAGE.resolve())
            assert own or SYSTEM.match(Path(name).name), f"{file}: {line}"


def test_the_programs_are_commands_that_find_the_bundled_model(installed, tmp_path):
    scripts = Path(sysconfig.get_path("scripts"))
    for command in ("rwkv-generate", "rwkv-convert"):
        assert shutil.which(command, path=scripts)
    text = subprocess.run(
        [scripts / "rwkv-generate", "-p", "User: What is 7 plus 8?\\n\\nAssistant:", "-r", "\\n\\n", "--temp", "0"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    ).stdout  # fmt: skip
    assert "15" in text
    out = tmp_path / "out.safetensors"
    subprocess.run([scripts / "rwkv-convert", rwkvcpp.DEMO_MODEL, out, "--type", "fp16"], capture_output=True, check=True)
    assert rwkvcpp.inspect(out).parameters == rwkvcpp.inspect(rwkvcpp.DEMO_MODEL).parameters
