# SPDX-License-Identifier: Apache-2.0
"""All kinds of single questions and how often they are asked."""

from questions_facts import (
    animal_sound,
    boy_or_girl,
    colour_in_world,
    compare_sizes,
    days,
    how_many,
    how_many_things,
    what_colour,
    where_is,
    who_moved,
)
from questions_lists import (
    first_letter,
    how_many_words,
    next_letter,
    next_word,
    opposite,
    repeat_list,
    reverse_list,
    spell,
    which_in_list,
)
from questions_numbers import (
    add,
    compare_numbers,
    count_range,
    next_number,
    sort_numbers,
    take_away,
)

# (function, share)
QUESTIONS = [
    (add, 8),
    (take_away, 6),
    (compare_numbers, 2),
    (count_range, 3),
    (next_number, 5),
    (next_word, 3),
    (next_letter, 1),
    (reverse_list, 5),
    (repeat_list, 2),
    (which_in_list, 2),
    (how_many_words, 2),
    (spell, 2),
    (first_letter, 1),
    (opposite, 4),
    (where_is, 4),
    (who_moved, 2),
    (what_colour, 4),
    (how_many, 5),
    (how_many_things, 3),
    (colour_in_world, 1.5),
    (animal_sound, 1.5),
    (compare_sizes, 2),
    (days, 1.5),
    (boy_or_girl, 0.7),
    (sort_numbers, 2),
]


def draw_question(rng):
    functions, shares = zip(*QUESTIONS)
    return rng.choices(functions, shares)[0](rng)
