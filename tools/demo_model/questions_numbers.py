# SPDX-License-Identifier: Apache-2.0
"""Sums, counting and rows of numbers: every function returns (user text, assistant text)."""

from words import NUMBERS, capital


def add(rng):
    total = rng.randrange(21)
    a = rng.randrange(total + 1)
    b = total - a
    if rng.random() < 0.15:
        question = rng.choice(
            [f"What is {NUMBERS[a]} plus {NUMBERS[b]}?", f"How much is {NUMBERS[a]} plus {NUMBERS[b]}?"]
        )
        return question, f"{capital(NUMBERS[a])} plus {NUMBERS[b]} is {NUMBERS[total]}."
    question = rng.choice(
        [
            f"What is {a} plus {b}?",
            f"What is {a} + {b}?",
            f"How much is {a} plus {b}?",
            f"What is {a} and {b} together?",
            f"Add {a} and {b}.",
            f"{a} + {b}",
            f"{a} plus {b}?",
        ]
    )
    return question, f"{a} plus {b} is {total}."


def take_away(rng):
    a = rng.randrange(21)
    b = rng.randrange(a + 1)
    question = rng.choice(
        [
            f"What is {a} minus {b}?",
            f"What is {a} - {b}?",
            f"How much is {a} minus {b}?",
            f"Take {b} away from {a}.",
            f"{a} - {b}",
        ]
    )
    return question, f"{a} minus {b} is {a - b}."


def compare_numbers(rng):
    a, b = rng.sample(range(21), 2)
    if rng.random() < 0.5:
        return f"Which is {rng.choice(['more', 'bigger'])}, {a} or {b}?", f"{max(a, b)} is more than {min(a, b)}."
    return f"Which is {rng.choice(['less', 'smaller'])}, {a} or {b}?", f"{min(a, b)} is less than {max(a, b)}."


def count_range(rng):
    first = rng.randrange(1, 13)
    last = first + rng.randrange(2, 9)
    if rng.random() < 0.3:
        first, last = 1, rng.choice([5, 10])
    numbers = list(range(first, last + 1))
    question = rng.choice(
        [
            f"Count from {first} to {last}.",
            f"Can you count from {first} to {last}?",
            f"Please count from {first} to {last}.",
        ]
    )
    if rng.random() < 0.2:
        numbers.reverse()
        question = f"Count {rng.choice(['back', 'down'])} from {last} to {first}."
    elif first == 1 and rng.random() < 0.5:
        question = rng.choice([f"Count to {last}.", f"Can you count to {last}?"])
    return question, ", ".join(map(str, numbers)) + "."


def next_number(rng):
    """Steps of 1, 2, 3, 5, 10 upwards or 1, 2 downwards; three or four numbers are given."""
    step, length = rng.choice([1, 1, 2, 2, 2, 3, 5, 10, -1, -2]), rng.choice([3, 4])
    first = step * rng.choice([1, 1, 2]) if step >= 5 else rng.randrange(0, 11)
    if step < 0:
        first = rng.randrange(-step * length, 21)
    numbers = [str(first + step * i) for i in range(length)]
    question = rng.choice(
        ["What comes next: {}?", "What comes next? {}", "What is the next number: {}?", "Which number comes next: {}?"]
    ).format(", ".join(numbers))
    return question, f"The next number is {first + step * length}."


def sort_numbers(rng):
    numbers = rng.sample(range(1, 20), 3)
    question = rng.choice(["Sort these numbers: {}.", "Put these numbers in order: {}."])
    return question.format(", ".join(map(str, numbers))), ", ".join(map(str, sorted(numbers))) + "."
