# SPDX-License-Identifier: Apache-2.0
"""Lists, letters and opposites: every function returns (user text, assistant text)."""

from words import ANIMALS, COLOURS, NAMES, NUMBERS, OPPOSITES, THINGS


def next_word(rng):
    words = rng.sample(rng.choice([COLOURS, ANIMALS, THINGS]), rng.choice([2, 2, 3]))
    shown = rng.randrange(2 * len(words), 3 * len(words) + 1)
    sequence = [words[i % len(words)] for i in range(shown)]
    question = rng.choice(["What comes next: {}?", "What comes next? {}", "Go on: {}"]).format(", ".join(sequence))
    return question, f"Next comes {words[shown % len(words)]}."


def next_letter(rng):
    start, length = rng.randrange(22), rng.choice([3, 4])
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[start : start + length + 1]
    return f"What comes next: {', '.join(letters[:-1])}?", f"Next comes {letters[-1]}."


def reverse_list(rng):
    pool = rng.choice([ANIMALS, THINGS, COLOURS, THINGS + ANIMALS, NAMES])
    words = rng.sample(pool, rng.choice([2, 3, 3, 3, 4, 4, 5]))
    question = rng.choice(
        [
            "Say these words in the other order: {}.",
            "Say these words backwards: {}.",
            "Turn this list around: {}.",
            "Reverse this list: {}.",
            "Say this in the other order: {}.",
        ]
    ).format(", ".join(words))
    return question, ", ".join(reversed(words)) + "."


def repeat_list(rng):
    words = rng.sample(THINGS + ANIMALS + COLOURS, rng.choice([2, 3, 4]))
    question = rng.choice(["Say these words: {}.", "Repeat these words: {}.", "Say after me: {}."])
    return question.format(", ".join(words)), ", ".join(words) + "."


def which_in_list(rng):
    words = rng.sample(THINGS + ANIMALS + COLOURS, rng.choice([3, 4]))
    which, index = rng.choice([("first", 0), ("last", -1), ("second", 1)])
    question = rng.choice(
        ["What is the {} word: {}?", "Which word is {}: {}?", "What is the {} word in this list: {}?"]
    )
    return question.format(which, ", ".join(words)), f"The {which} word is {words[index]}."


def how_many_words(rng):
    words = rng.sample(THINGS + ANIMALS, rng.randrange(2, 7))
    question = rng.choice(
        ["How many words are these: {}?", "Count these words: {}.", "How many words are in this list: {}?"]
    )
    return question.format(", ".join(words)), f"These are {NUMBERS[len(words)]} words."


def spell(rng):
    word = rng.choice([w for w in ANIMALS + THINGS + COLOURS if len(w) <= 6])
    question = rng.choice(["How do you spell {}?", "Spell the word {}.", "Spell {}."])
    return question.format(word), "-".join(word.upper()) + "."


def first_letter(rng):
    word = rng.choice(ANIMALS + THINGS + COLOURS)
    question = rng.choice(["What is the first letter of {}?", "Which letter does {} start with?"])
    return question.format(word), f"The first letter of {word} is {word[0].upper()}."


def opposite(rng):
    word, other = rng.choice([rng.choice(OPPOSITES), rng.choice(OPPOSITES)[::-1]])
    question = rng.choice(
        [
            "What is the opposite of {}?",
            "What is the opposite of {}?",
            "Tell me the opposite of {}.",
            "Do you know the opposite of {}?",
            "The opposite of {} is",
        ]
    )
    return question.format(word), f"The opposite of {word} is {other}."
