# SPDX-License-Identifier: Apache-2.0
"""Runs every command and compiles every snippet of README.md, and the commands of docs/cli.md, in a copy of the layout they are
written for. Environment: RWKV_BUILD, the build folder; RWKV_SOURCE, the root of the sources."""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["RWKV_BUILD"])
SOURCE = pathlib.Path(os.environ["RWKV_SOURCE"])
DEMO = SOURCE / "tools/demo_model/demo.safetensors"


def fenced(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (SOURCE / path).read_text(), re.MULTILINE | re.DOTALL)


def indented_commands(path):
    return re.findall(r"^    ((?:rwkv-|echo |printf ).*)$", (SOURCE / path).read_text(), re.MULTILINE)


class Readme(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="rwkv-docs-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "build").mkdir()
        (self.folder / "build/release").symlink_to(BUILD)
        (self.folder / "model.pth").symlink_to(DEMO)  # content decides, not the ending
        (self.folder / "MODEL.pth").symlink_to(DEMO)
        (self.folder / "book.txt").write_text("Once there was a fox.\n")

    def shell(self, script):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, capture_output=True, timeout=300,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 0, f"{script}\n{done.stdout.decode()}\n{done.stderr.decode()}")
        return done.stdout.decode()

    def test_the_commands_run(self):
        blocks = fenced("README.md", "sh")
        self.assertGreaterEqual(len(blocks), 3)
        self.assertIn("export PATH", blocks[0])
        for number, block in enumerate(blocks):
            self.shell(block if number == 0 else f"export PATH=$PWD/build/release/tools:$PATH\n{block}")

    # Only where the module was built for the Python that runs this; tests/python runs the block in every environment it is tested in.
    def test_the_python_program_writes_text(self):
        environment = {**os.environ, "PYTHONPATH": str(BUILD / "python")}
        imported = subprocess.run([sys.executable, "-c", "import rwkvcpp"], env=environment, capture_output=True, check=False)
        if imported.returncode != 0:
            self.skipTest("skipped: no Python module for this Python")
        program = self.folder / "program.py"
        program.write_text(fenced("README.md", "python")[0])
        done = subprocess.run([sys.executable, program], env=environment, cwd=self.folder, capture_output=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertGreater(len(done.stdout), 20)

    def test_the_scripts_are_there(self):
        scripts = re.findall(r"^    bash (\S+)", (SOURCE / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(scripts, ["tools/quickstart.sh", "tools/test.sh", "tools/setup.sh"])
        for script in scripts:
            self.assertTrue((SOURCE / script).is_file())

    def test_the_program_builds_and_writes_text(self):
        self.shell("cmake --install build/release --prefix installed")
        (self.folder / "CMakeLists.txt").write_text(fenced("README.md", "cmake")[0])
        (self.folder / "main.cpp").write_text(fenced("README.md", "cpp")[0])
        self.shell('cmake -G Ninja -S . -B out -DCMAKE_PREFIX_PATH="$PWD/installed" -DCMAKE_BUILD_TYPE=Release && cmake --build out')
        self.assertGreater(len(self.shell("./out/example")), 20)
        self.assertTrue((self.folder / "story.state").is_file())

    def test_links_lead_to_files(self):
        for path in ["README.md", *(f"docs/{p.name}" for p in (SOURCE / "docs").glob("*.md"))]:
            prose = re.sub(r"^```.*?^```$", "", (SOURCE / path).read_text(), flags=re.MULTILINE | re.DOTALL)
            for link in re.findall(r"\]\(([^)#]+)\)", prose):
                if not link.startswith("http"):
                    self.assertTrue((SOURCE / path).parent.joinpath(link).exists(), f"{path}: {link}")

    def test_the_commands_of_the_program_page_run(self):
        commands = [c for c in indented_commands("docs/cli.md") if "IN OUT" not in c]
        self.assertGreater(len(commands), 5)
        for command in commands:
            if "--chat" in shlex.split(command, comments=True) and "|" not in command:
                continue  # waits for a person
            self.shell(f"export PATH=$PWD/build/release/tools:$PATH\n{command}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
