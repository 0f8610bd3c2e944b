# SPDX-License-Identifier: Apache-2.0
"""rwkv-generate: what goes where, how a text is continued, how it ends."""
import os
import signal
import stat
import unittest

from program import DEMO, FAILED, INTERRUPTED, PROGRAMS, Case, open_terminal
from small_model import LONG_WORD


class Streams(Case):
    def test_text_goes_to_stdout_and_everything_else_to_stderr(self):
        done = self.generate(*self.small, "-p", "Hello", "-n", "20", "-v", "-s", "1")
        self.assertTrue(done.stdout)
        self.assertNotIn(b"tok/s", done.stdout)
        self.assertIn(b"tok/s", done.stderr)

    def test_without_v_nothing_is_said(self):
        self.assertEqual(self.generate(*self.small, "-p", "Hello", "-n", "5").stderr, b"")

    def test_the_prompt_is_printed_only_on_request(self):
        plain = self.greedy("-p", "Hello", "-n", "9")
        self.assertEqual(self.greedy("-p", "Hello", "-n", "9", "--display-prompt"), b"Hello" + plain)

    def test_json_is_one_line_with_text_tokens_and_reason(self):
        (answer,) = self.as_json("-p", "Hello", "-n", "9")
        self.assertEqual(answer["text"].encode(), self.greedy("-p", "Hello", "-n", "9"))
        self.assertEqual((len(answer["tokens"]), answer["reason"], answer["prompt_tokens"]), (9, "max_tokens", 5))
        self.assertGreater(answer["timings"]["tokens_per_second"], 0)

    def test_a_reader_that_leaves_ends_it_quietly(self):
        with self.running("rwkv-generate", *self.small, "-p", "a", "-n", "-1", "--ignore-eos") as process:
            process.stdout.read(10)
            process.stdout.close()
            self.assertIn(process.wait(timeout=60), (-signal.SIGPIPE, FAILED))
            self.assertEqual(process.stderr.read(), b"")

    @unittest.skipUnless(os.path.exists("/dev/full"), "skipped: needs /dev/full")
    def test_a_full_disk_behind_stdout_is_reported(self):
        with open("/dev/full", "wb") as full:
            done = self.generate(*self.small, "-p", "a", "-n", "9", "--ignore-eos", stdout=full, code=FAILED)
        self.assertIn(b"standard output", done.stderr)


class Prompts(Case):
    def test_pipe_file_and_option_are_the_same_prompt(self):
        file = self.folder / "prompt.txt"
        file.write_text("Once upon\n")  # the line end of the last line is not part of it
        expected = self.greedy("-p", "Once upon", "-n", "12")
        self.assertEqual(self.greedy("-n", "12", stdin=b"Once upon\n"), expected)
        self.assertEqual(self.greedy("-f", file, "-n", "12"), expected)
        self.assertEqual(self.greedy("-f", "-", "-n", "12", stdin=b"Once upon"), expected)
        self.assertEqual(self.greedy("-p", "-", "-n", "12", stdin=b"Once upon"), expected)

    def test_escapes_in_p_mean_what_they_do_in_c(self):
        with_escapes = self.as_json("-p", r"a\nb", "-n", "1")[0]["prompt_tokens"]
        without = self.as_json("-p", r"a\nb", "-n", "1", "--no-escape")
        self.assertEqual(with_escapes, 3)
        self.assertEqual(without[0]["prompt_tokens"], 4)

    def test_a_long_prompt_has_the_same_tokens_in_pieces(self):
        lines = 1 << 13  # 2.3 MiB: three pieces
        file = self.folder / "long.txt"
        file.write_text((LONG_WORD + "\n") * lines)
        (answer,) = self.as_json("-f", file, "-n", "1")
        self.assertEqual(answer["prompt_tokens"], 2 * lines - 1)

    def test_the_size_of_chunks_does_not_change_the_text(self):
        one = self.greedy("-p", "The quick brown fox jumps", "-n", "20", "-b", "1")
        self.assertEqual(self.greedy("-p", "The quick brown fox jumps", "-n", "20", "-b", "7"), one)


class Endings(Case):
    def test_the_text_ends_in_front_of_a_stop_string(self):
        whole = self.greedy("-p", "Hello", "-n", "40")
        stop = whole[10:13].decode()
        (answer,) = self.as_json("-p", "Hello", "-n", "40", "-r", stop, "--no-escape")
        self.assertEqual(answer["reason"], "string")
        self.assertEqual(answer["text"], whole.decode()[: whole.decode().index(stop)])

    def test_the_same_seed_gives_the_same_text(self):
        first, again, other = (self.generate(*self.small, "-p", "Hello", "-n", "30", "-s", seed).stdout for seed in "112")
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_an_interrupt_ends_with_130_and_saves_the_state(self):
        state = self.folder / "state"
        with self.running("rwkv-generate", *self.small, "-p", "a", "-n", "-1", "--ignore-eos", "--state-out", state) as process:
            process.stdout.read(10)
            process.send_signal(signal.SIGINT)
            process.stdout.read()
            self.assertEqual(process.wait(timeout=60), INTERRUPTED)
        self.greedy("--state-in", state, "-p", "b", "-n", "3")

    def test_no_prompt_at_a_terminal_is_explained(self):
        ours, theirs = open_terminal()
        with self.running("rwkv-generate", *self.small, stdin=theirs) as process:
            self.assertEqual(process.wait(timeout=60), 2)
            self.assertIn(b"-p TEXT", process.stderr.read())
        os.close(ours), os.close(theirs)


class States(Case):
    def test_two_runs_joined_by_a_state_equal_one(self):
        state = self.folder / "state"
        first = self.greedy("-p", "Hello", "-n", "10", "--state-out", state)
        second = self.greedy("--state-in", state, "-p", " and", "-n", "10")
        self.assertEqual(self.greedy("-p", "Hello" + first.decode() + " and", "-n", "10", "--no-escape"), second)

    def test_a_stop_string_is_not_part_of_the_saved_state(self):
        state = self.folder / "state"
        whole = self.greedy("-p", "Hello", "-n", "40").decode()
        kept = self.greedy("-p", "Hello", "-n", "40", "-r", whole[10:13], "--no-escape", "--state-out", state).decode()
        after = self.greedy("--state-in", state, "-p", " and", "-n", "10")
        self.assertEqual(self.greedy("-p", "Hello" + kept + " and", "-n", "10", "--no-escape"), after)

    def test_a_prompt_can_be_read_without_text(self):
        state = self.folder / "state"
        self.assertEqual(self.greedy("-p", "Once", "-n", "0", "--state-out", state), b"")
        self.assertEqual(self.greedy("--state-in", state, "-p", " upon", "-n", "9"), self.greedy("-p", "Once upon", "-n", "9"))

    def test_only_the_owner_can_read_a_state(self):
        state = self.folder / "state"
        self.greedy("-p", "Hello", "-n", "1", "--state-out", state)
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o600)


class Terminal(Case):
    def at_terminal(self, *arguments):
        ours, theirs = open_terminal()
        done = self.generate(*self.small, *arguments, stdout=theirs)
        os.close(theirs)
        text = os.read(ours, 65536).replace(b"\r\n", b"\n")
        os.close(ours)
        return text, done.stderr

    def test_control_characters_do_not_reach_it(self):
        text, _ = self.at_terminal("-p", r"a\x1b[2Jb", "--display-prompt", "-n", "0")
        self.assertEqual(text, b"a[2Jb\n")

    def test_raw_passes_them_on(self):
        text, _ = self.at_terminal("-p", r"a\x1b[2Jb", "--display-prompt", "-n", "0", "--raw")
        self.assertEqual(text, b"a\x1b[2Jb\n")


@unittest.skipUnless(DEMO.exists(), "skipped: needs the demo model")
class BundledModel(Case):
    def test_without_m_it_is_used_and_named(self):
        done = self.generate("-p", "Once upon a time", "-n", "20")
        self.assertTrue(done.stdout)
        self.assertIn(b"demo.safetensors", done.stderr)

    def test_it_brings_its_vocabulary(self):
        alone = self.folder / "elsewhere.safetensors"
        alone.write_bytes(DEMO.read_bytes())
        self.assertTrue(self.generate("-m", alone, "-p", "Once upon a time", "-n", "5").stdout)

    def test_the_source_tree_is_not_needed_after_a_copy_of_the_installation(self):
        program, model = self.folder / "bin/rwkv-generate", self.folder / "share/rwkv/demo.safetensors"
        program.parent.mkdir(), model.parent.mkdir(parents=True)
        program.write_bytes((PROGRAMS / "rwkv-generate").read_bytes())
        program.chmod(0o755)
        model.write_bytes(DEMO.read_bytes())
        self.assertIn(os.fsencode(model), self.run_program(program, "--info").stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
