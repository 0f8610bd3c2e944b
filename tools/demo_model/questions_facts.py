# SPDX-License-Identifier: Apache-2.0
"""Who, where, what colour, how many: every function returns (user text, assistant text)."""

from words import (
    BOYS,
    COLOURS,
    COUNTED,
    DAYS,
    NAMES,
    NUMBERS,
    PLACES,
    SIZES,
    SOUNDS,
    THINGS,
    TYPICAL_COLOURS,
    article,
    at,
    capital,
    join,
    pronouns,
)


def where_is(rng):
    people = rng.sample(NAMES, rng.choice([2, 2, 3]))
    places = rng.sample(sorted(PLACES), len(people))
    facts = " ".join(f"{person} is {at(place)}." for person, place in zip(people, places))
    i = rng.randrange(len(people))
    if rng.random() < 0.3:
        return f"{facts} Who is {at(places[i])}?", f"{people[i]} is {at(places[i])}."
    if rng.random() < 0.2:
        j = rng.randrange(len(people))
        answer = "Yes, {} is {}." if i == j else "No, {} is {}."
        return f"{facts} Is {people[i]} {at(places[j])}?", answer.format(people[i], at(places[i]))
    return f"{facts} Where is {people[i]}?", f"{people[i]} is {at(places[i])}."


def who_moved(rng):
    person = rng.choice(NAMES)
    first, second = rng.sample(sorted(PLACES), 2)
    goes = "to school" if second == "school" else f"to the {second}"
    she = capital(pronouns(person)[0])
    facts = f"{person} was {at(first)}. Then {she.lower()} went {goes}."
    if rng.random() < 0.3:
        return f"{facts} Where was {person} {rng.choice(['first', 'before'])}?", f"First, {person} was {at(first)}."
    return f"{facts} Where is {person} now?", f"{she} is {at(second)} now."


def what_colour(rng):
    people = rng.sample(NAMES, 2)
    things = rng.sample(THINGS, 2)
    colours = rng.sample(COLOURS, 2)
    count = rng.choice([1, 2, 2])
    facts = " ".join(f"{n} has {article(c)} {t}." for n, c, t in list(zip(people, colours, things))[:count])
    i = rng.randrange(count)
    if rng.random() < 0.3:
        return f"{facts} Who has the {things[i]}?", f"{people[i]} has the {things[i]}."
    if rng.random() < 0.3:
        return f"{facts} What does {people[i]} have?", f"{people[i]} has {article(colours[i])} {things[i]}."
    owner = rng.choice(["the", people[i] + "'s"])
    return f"{facts} What colour is {owner} {things[i]}?", f"The {things[i]} is {colours[i]}."


def how_many(rng):
    person, friend = rng.sample(NAMES, 2)
    she = capital(pronouns(person)[0])
    one, many = rng.choice(sorted(COUNTED.items()))
    a = rng.randrange(1, 10)
    b = rng.randrange(1, 6)

    def things(count):
        return f"{count} {one if count == 1 else many}"

    if rng.random() < 0.5 and b < a:
        change = rng.choice([f"{she} gives {b} to {friend}.", f"{she} loses {b}.", f"{friend} takes {b}."])
        rest = a - b
    else:
        change = rng.choice(
            [f"{friend} gives {pronouns(person)[2]} {b} more.", f"{she} gets {b} more.", f"{she} finds {b} more."]
        )
        rest = a + b
    return (
        f"{person} has {things(a)}. {change} How many {many} does {person} have now?",
        f"{person} has {things(rest)} now.",
    )


def how_many_things(rng):
    """Counting what a person has."""
    person = rng.choice(NAMES)
    things = rng.sample(THINGS, rng.randrange(2, 6))
    question = f"{person} has {join([article(t) for t in things])}. How many things does {person} have?"
    return question, f"{person} has {NUMBERS[len(things)]} things."


def colour_in_world(rng):
    thing, colour = rng.choice(sorted(TYPICAL_COLOURS.items()))
    return f"What colour is {thing}?", f"{capital(thing)} is {colour}."


def animal_sound(rng):
    animal, sound = rng.choice(sorted(SOUNDS.items()))
    if rng.random() < 0.3:
        return rng.choice([f"Which animal says {sound}?", f"Who says {sound}?"]), f"The {animal} says {sound}."
    return (
        rng.choice([f"What does the {animal} say?", f"What sound does {article(animal)} make?"]),
        f"The {animal} says {sound}.",
    )


def compare_sizes(rng):
    i, j = sorted(rng.sample(range(len(SIZES)), 2))
    small, big = SIZES[i], SIZES[j]
    a, b = rng.sample([small, big], 2)
    if rng.random() < 0.5:
        return (
            f"Which is bigger, {article(a)} or {article(b)}?",
            f"{capital(article(big))} is bigger than {article(small)}.",
        )
    return (
        f"Which is smaller, {article(a)} or {article(b)}?",
        f"{capital(article(small))} is smaller than {article(big)}.",
    )


def days(rng):
    i = rng.randrange(7)
    if rng.random() < 0.5:
        return (
            rng.choice([f"Which day comes after {DAYS[i]}?", f"What day comes after {DAYS[i]}?"]),
            f"After {DAYS[i]} comes {DAYS[(i + 1) % 7]}.",
        )
    return (
        rng.choice([f"Which day comes before {DAYS[i]}?", f"What day comes before {DAYS[i]}?"]),
        f"Before {DAYS[i]} comes {DAYS[(i - 1) % 7]}.",
    )


def boy_or_girl(rng):
    name = rng.choice(NAMES)
    return f"Is {name} a boy or a girl?", f"{name} is a {'boy' if name in BOYS else 'girl'}."
