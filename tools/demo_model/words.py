# SPDX-License-Identifier: Apache-2.0
"""The words of the small world, and the template language of its texts.

Template: `{a|b}` is one of the alternatives (they nest), `<slot>` is a word of the cast.
"""

import re

GIRLS = ["Anna", "Lily", "Mia", "Ella", "Nora", "Emma", "Rose", "Zoe"]
BOYS = ["Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Oscar", "Peter"]
NAMES = GIRLS + BOYS
RARE_GIRLS = ["Alice", "Mary", "Lucy", "Eva", "Sara", "Julia"]
RARE_BOYS = ["Bob", "John", "Paul", "David", "Tim", "Daniel"]
ANIMALS = [
    "dog",
    "cat",
    "rabbit",
    "bird",
    "fox",
    "duck",
    "frog",
    "mouse",
    "horse",
    "bear",
    "cow",
    "pig",
    "sheep",
    "owl",
    "hen",
    "goat",
]
RARE_ANIMALS = ["lion", "tiger", "wolf", "monkey", "elephant", "dragon", "snake", "squirrel", "donkey", "penguin"]
WILD_ANIMALS = ["rabbit", "bird", "fox", "duck", "frog", "mouse", "bear", "owl"]  # can be met anywhere
SMALL_ANIMALS = ["dog", "cat", "rabbit", "bird", "duck", "frog", "mouse", "hen"]  # a child can carry them
THINGS = ["ball", "kite", "boat", "book", "hat", "cup", "drum", "lamp", "map", "bell", "key", "box", "bag", "scarf"]
TOYS = ["ball", "kite", "boat", "book", "drum"]
COLOURS = ["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "pink", "grey"]
PLACES = {
    "garden": "in",
    "park": "in",
    "forest": "in",
    "kitchen": "in",
    "school": "at",
    "river": "by",
    "beach": "on",
    "barn": "in",
    "hill": "on",
    "market": "at",
    "farm": "on",
    "lake": "by",
    "field": "in",
    "bridge": "under",
}
WILD_PLACES = ["garden", "park", "forest", "river", "beach", "hill", "lake", "field", "farm"]
FOODS = [
    "an apple",
    "some bread",
    "a carrot",
    "some soup",
    "a cake",
    "a pear",
    "some cheese",
    "some nuts",
    "an egg",
    "some berries",
]
COUNTED = {
    "apple": "apples",
    "pear": "pears",
    "egg": "eggs",
    "ball": "balls",
    "book": "books",
    "cup": "cups",
    "hat": "hats",
    "carrot": "carrots",
    "cake": "cakes",
    "flower": "flowers",
    "shell": "shells",
    "stone": "stones",
}
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
OPPOSITES = [
    ("big", "small"),
    ("hot", "cold"),
    ("happy", "sad"),
    ("old", "new"),
    ("fast", "slow"),
    ("day", "night"),
    ("up", "down"),
    ("open", "closed"),
    ("light", "dark"),
    ("wet", "dry"),
    ("long", "short"),
    ("full", "empty"),
    ("strong", "weak"),
    ("clean", "dirty"),
    ("loud", "quiet"),
    ("high", "low"),
    ("early", "late"),
    ("left", "right"),
    ("black", "white"),
    ("good", "bad"),
    ("soft", "hard"),
    ("rich", "poor"),
    ("thick", "thin"),
    ("in", "out"),
    ("first", "last"),
    ("yes", "no"),
]
SOUNDS = {
    "dog": "woof",
    "cat": "meow",
    "duck": "quack",
    "cow": "moo",
    "sheep": "baa",
    "pig": "oink",
    "owl": "hoo",
    "hen": "cluck",
    "frog": "croak",
    "mouse": "squeak",
    "horse": "neigh",
}
# From small to big, for comparisons.
SIZES = ["mouse", "frog", "rabbit", "cat", "fox", "sheep", "pig", "cow", "house", "hill"]
TYPICAL_COLOURS = {
    "grass": "green",
    "the sky": "blue",
    "snow": "white",
    "the sun": "yellow",
    "a carrot": "orange",
    "milk": "white",
    "the night": "black",
    "a frog": "green",
    "bread": "brown",
    "a leaf": "green",
}


def fill(rng, template, slots):
    """Chooses the alternatives of a template, puts the slots in and corrects "a" and "an"."""
    while "{" in template:
        template = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m.group(1).split("|")), template)
    text = re.sub(r"<(\w+)>", lambda m: slots[m.group(1)], template)
    return with_articles(" ".join(text.split(" ")))


def with_articles(text):
    return re.sub(r"\b([Aa]) (?=[aeiou](?!ne\b))", r"\1n ", text)


def article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capital(text):
    return text[0].upper() + text[1:]


def at(place):
    """garden -> in the garden; school -> at school."""
    return "at school" if place == "school" else f"{PLACES[place]} the {place}"


def to(place):
    return "to school" if place == "school" else f"to the {place}"


def pronouns(name):
    """(subject, possessive, object)"""
    return ("she", "her", "her") if name in GIRLS + RARE_GIRLS else ("he", "his", "him")


def join(words):
    """a, b and c"""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def child_slots(prefix, name):
    """<n> <n_she> <n_She> <n_her> <n_him> <n_child> for the prefix n."""
    she, her, him = pronouns(name)
    return {
        prefix: name,
        prefix + "_she": she,
        prefix + "_She": capital(she),
        prefix + "_her": her,
        prefix + "_him": him,
        prefix + "_child": "girl" if pronouns(name)[0] == "she" else "boy",
    }


def draw_cast(rng, fixed=None):
    """The slots of one story. `fixed` sets some of n, f, a, t, c, p before the rest is drawn.

    n, f: children; a, b: animals (a can be met anywhere, b is another one); s: a small animal; t: a toy;
    u: another thing; c, d: colours; p, q, o: outdoor places; food; k: a number word; size, mood: adjectives.
    """
    fixed = fixed or {}
    n, f = pick(rng, NAMES, fixed.get("n"), fixed.get("f"))
    a, b = pick(rng, WILD_ANIMALS, fixed.get("a"), fixed.get("b"))
    t = fixed.get("t") or rng.choice(TOYS)
    places = pick(rng, WILD_PLACES, fixed.get("p"), None, None)
    c, d = pick(rng, COLOURS, fixed.get("c"), None)
    slots = {
        "a": a,
        "b": b,
        "t": t,
        "c": c,
        "d": d,
        "food": rng.choice(FOODS),
        "u": rng.choice([x for x in THINGS if x != t]),
        "k": rng.choice(NUMBERS[2:8]),
        "s": fixed.get("s") or rng.choice([x for x in SMALL_ANIMALS if x not in (a, b)]),
        "size": rng.choice(["small", "big", "old", "young", "thin", "clever"]),
        "mother": rng.choice(["mother", "father", "grandmother", "grandfather"]),
    }
    for key, place in zip("pqo", places):
        slots[key], slots["at_" + key], slots["to_" + key] = place, at(place), to(place)
    slots["M_she"] = "she" if "mother" in slots["mother"] else "he"
    slots["M_She"] = capital(slots["M_she"])
    slots.update(child_slots("n", n))
    slots.update(child_slots("f", f))
    return slots


def pick(rng, words, *fixed):
    """Different words, one for each of `fixed`; a value that is not None is kept."""
    free = [word for word in words if word not in fixed]
    drawn = iter(rng.sample(free, len(fixed)))
    return [word if word is not None else next(drawn) for word in fixed]
