# SPDX-License-Identifier: Apache-2.0
"""Checks of the generator and the vocabulary; needs Python only: `python3 test_world.py`."""

import random
import re
import unittest

import questions
from stories import draw_story
from vocab import MAX_ENTRIES, Tokenizer
from world import document

SUM = re.compile(r"^(\d+) (plus|minus) (\d+) is (\d+)\.$")


def drawn(function, count=300):
    rng = random.Random(5)
    return [function(rng) for _ in range(count)]


class World(unittest.TestCase):
    def test_same_seed_gives_the_same_text(self):
        self.assertEqual([document(seed) for seed in range(50)], [document(seed) for seed in range(50)])

    def test_documents_end_with_an_empty_line_and_leave_no_template(self):
        for seed in range(2000):
            text = document(seed)
            self.assertTrue(text.endswith("\n\n"))
            self.assertIsNone(re.search(r"[{}<>|]|  |\n\n\n| [.,!?]|[.?!,]{2}", text), text)
            self.assertIsNone(re.search(r"\b[Aa] [aeiou](?!ne)|\b[Aa]n (?!hour|honest)[^aeiou]", text), text)

    def test_sums_are_right(self):
        for _, answer in drawn(questions.add) + drawn(questions.take_away):
            if SUM.match(answer):
                a, sign, b, result = SUM.match(answer).groups()
                self.assertEqual(int(result), int(a) + int(b) if sign == "plus" else int(a) - int(b))

    def test_lists_are_reversed(self):
        for question, answer in drawn(questions.reverse_list):
            words = question.split(": ")[1].rstrip(".").split(", ")
            self.assertEqual(answer.rstrip(".").split(", ")[::-1], words)

    def test_next_number_keeps_the_step(self):
        for question, answer in drawn(questions.next_number):
            numbers = list(map(int, re.findall(r"\d+", question)))
            self.assertEqual(int(re.findall(r"\d+", answer)[0]), 2 * numbers[-1] - numbers[-2])

    def test_things_given_and_taken_are_counted(self):
        for question, answer in drawn(questions.how_many):
            had, change = map(int, re.findall(r"\d+", question))
            less = re.search(r" (loses|takes) ", question) or re.search(r"(She|He) gives", question)
            self.assertEqual(int(re.findall(r"\d+", answer)[0]), had - change if less else had + change, question)

    def test_answers_about_a_story_use_its_words(self):
        rng = random.Random(6)
        for _ in range(500):
            story = draw_story(rng)
            for _, answer in story.questions:
                for colour in re.findall(r"(?:is|was) (red|blue|green|yellow|pink|grey)\.", answer):
                    self.assertIn(colour, story.text)


class Vocabulary(unittest.TestCase):
    def test_has_all_bytes_and_contiguous_ids(self):
        tokenizer = Tokenizer()
        self.assertTrue(all(bytes([byte]) in tokenizer.id_of for byte in range(256)))
        self.assertEqual(sorted(tokenizer.token_of), list(range(1, len(tokenizer.token_of) + 1)))
        self.assertLessEqual(len(tokenizer.token_of), MAX_ENTRIES)

    def test_takes_the_longest_token(self):
        tokenizer = Tokenizer()
        for text in (document(3), "\x00\xff é 你好 \r\n Anna's"):
            ids = tokenizer.encode(text)
            self.assertEqual(tokenizer.decode(ids), text)
        self.assertEqual(tokenizer.token_of[tokenizer.encode(" Anna.")[0]], b" Anna")


if __name__ == "__main__":
    unittest.main()
