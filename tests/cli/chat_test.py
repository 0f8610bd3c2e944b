# SPDX-License-Identifier: Apache-2.0
"""rwkv-generate --chat through a pipe: one line is one turn."""
import json
import signal
import unittest

from program import DEMO, USAGE, Case


class Chat(Case):
    def chat(self, *lines, options=()):
        """The answers, one per turn, and what was said on stderr."""
        done = self.generate(*self.small, "--chat", "--json", "--temp", "0", "--ignore-eos", "-n", "8", *options,
                             stdin="\n".join([*lines, ""]).encode())
        return [json.loads(line)["text"] for line in done.stdout.splitlines()], done.stderr.decode()

    def test_one_line_is_one_turn_and_empty_lines_are_none(self):
        answers, _ = self.chat("Hello", "", "  ", "How are you?")
        self.assertEqual(len(answers), 2)

    def test_the_text_is_printed_as_it_comes_without_json(self):
        options = [*self.small, "--chat", "--temp", "0", "--ignore-eos", "-n", "8"]
        text = self.generate(*options, stdin=b"Hello\n").stdout.decode()
        self.assertEqual(text, self.chat("Hello")[0][0] + "\n")

    def test_an_answer_knows_what_was_said_before(self):
        (_, second), _ = self.chat("Hello", "And?")
        (alone,), _ = self.chat("And?")
        self.assertNotEqual(second, alone)

    def test_the_state_is_that_of_the_written_conversation(self):
        (first, second), _ = self.chat("Hello", "And?")
        raw = self.as_json("-p", "User: Hello\n\nAssistant:", "-n", "8")[0]["text"]
        self.assertEqual(raw.strip(" \n"), first.strip(" \n"))
        end = "" if raw.endswith("\n\n") else "\n" if raw.endswith("\n") else "\n\n"
        written = f"User: Hello\n\nAssistant:{raw}{end}User: And?\n\nAssistant:"
        # Stop strings are those of the chat.
        whole = self.as_json("-p", written, "-n", "8", "-r", "\n\n", "--no-escape")[0]["text"]
        self.assertEqual(whole.lstrip(" \n"), second)

    def test_reset_forgets(self):
        (first, _, again), _ = self.chat("Hello", "And?", "/reset", "Hello")
        self.assertEqual(first, again)

    def test_save_and_load_carry_a_conversation_over(self):
        file = self.folder / "talk.state"
        (_, second), _ = self.chat("Hello", f"/save {file}", "And?")
        (loaded,), _ = self.chat(f"/load {file}", "And?")
        self.assertEqual(second, loaded)
        (from_option,), _ = self.chat("And?", options=["--state-in", file])
        self.assertEqual(second, from_option)

    def test_state_out_is_written_at_the_end(self):
        file = self.folder / "talk.state"
        self.chat("Hello", options=["--state-out", file])
        self.assertEqual(self.chat("And?", options=["--state-in", file])[0], self.chat("Hello", "And?")[0][1:])

    def test_a_wrong_file_leaves_the_conversation_as_it_is(self):
        bad = self.folder / "bad.state"
        bad.write_text("no state")
        answers, said = self.chat("Hello", f"/load {bad}", "/load /nowhere/at/all", "And?")
        self.assertEqual(answers, self.chat("Hello", "And?")[0])
        self.assertIn("bad.state", said)

    def test_quit_leaves(self):
        answers, _ = self.chat("Hello", "/quit", "And?")
        self.assertEqual(len(answers), 1)

    def test_an_unknown_command_lists_the_commands(self):
        answers, said = self.chat("/help", "/save")
        self.assertEqual(answers, [])
        self.assertEqual(said.count("/load FILE"), 2)

    def test_the_prompt_is_the_opening(self):
        opening = "User: hi\n\nAssistant: Hi."
        (answer,), _ = self.chat("Hello", options=["-p", opening])
        self.assertNotEqual(answer, self.chat("Hello")[0][0])

    def test_stdin_cannot_be_the_opening(self):
        self.generate(*self.small, "--chat", "-f", "-", code=USAGE)

    def test_an_interrupt_stops_the_answer_and_not_the_program(self):
        options = [*self.small, "--chat", "--ignore-eos", "-r", "never", "-n", "-1"]
        with self.running("rwkv-generate", *options, stdin=-1) as process:
            process.stdin.write(b"Hello\n")
            process.stdin.flush()
            process.stdout.read(20)
            process.send_signal(signal.SIGINT)
            process.stdin.write(b"/quit\n")
            process.stdin.close()
            process.stdin = None
            process.stdout.read()
            self.assertEqual(process.wait(timeout=60), 0)


@unittest.skipUnless(DEMO.exists(), "skipped: needs the demo model")
class DemoChat(Case):
    def test_the_bundled_model_answers_and_stops_by_itself(self):
        done = self.generate("--chat", "--json", "--temp", "0", stdin=b"Hello!\nHow are you?\n")
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), 2)
        for answer in answers:
            self.assertTrue(answer["text"].strip())
            self.assertIn(answer["reason"], ("string", "token"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
