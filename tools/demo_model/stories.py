# SPDX-License-Identifier: Apache-2.0
"""Draws a story: one plot, one cast, one wording, and the questions it answers."""

from dataclasses import dataclass

import plots_animals
import plots_children
import plots_journeys
from words import (
    ANIMALS,
    COLOURS,
    NAMES,
    RARE_ANIMALS,
    RARE_BOYS,
    RARE_GIRLS,
    TOYS,
    article,
    capital,
    draw_cast,
    fill,
)

PLOTS = plots_children.PLOTS + plots_animals.PLOTS + plots_journeys.PLOTS

CHILD_OPENINGS = [
    "Once upon a time, there was a {little |kind |brave |}<n_child> called <n>. {One day|One morning}, <n_she> <was> <at_p>.",
    "One {day|sunny day|morning|cold morning|afternoon|warm evening|summer day}, <n> <was> <at_p>.",
    "<n> <was> <at_p>. It was a {sunny|cold|windy|quiet|beautiful} {day|morning|afternoon}.",
    "There once was a <n_child> called <n>. {One day|One evening}, <n_she> {went|walked} <to_p>.",
    "One day, <n> {went|walked|ran} <to_p>.",
]
ANIMAL_OPENINGS = [
    "Once upon a time, a <size> <a> lived <at_p>.",
    "Once upon a time, there was a <size> <a>. It lived <at_p>.",
    "One {day|sunny day|morning}, a <size> <a> sat <at_p>.",
    "There once was a <size> <a> that lived <at_p>.",
]


@dataclass(frozen=True)
class Story:
    title: str
    paragraphs: list
    summary: str
    questions: list  # (question, answer)
    cast: dict

    @property
    def text(self):
        return " ".join(self.paragraphs)


def draw_story(rng, fixed=None, about=None):
    """A story with the slots in `fixed`, told by a plot that is about the slots in `about` (letters)."""
    plot = rng.choice([p for p in PLOTS if set(about or "") <= set(p.about)])
    cast = draw_cast(rng, fixed)
    for slot, words in plot.choices.items():
        cast[slot] = rng.choice(words)
    for child in "nf":
        cast[child + "_poss"] = cast[child] + "'s"
        cast[child + "_Her"] = capital(cast[child + "_her"])
    cast["K"] = capital(cast["k"])
    cast["was"] = rng.choice(["was", "was playing", "was walking"])
    cast["child_at_p"] = fill(rng, rng.choice(CHILD_OPENINGS), cast)
    cast["animal_at_p"] = fill(rng, rng.choice(ANIMAL_OPENINGS), cast)

    def say(template):
        return fill(rng, template, cast)

    paragraphs = [say(line.strip()) for line in plot.text.split("\n")]
    questions = [(say(question), say(answer)) for question, answer in plot.questions]
    return Story(title_case(say(plot.title)), paragraphs, say(plot.summary), questions, cast)


def title_case(title):
    small = {"a", "an", "the", "and", "in", "on", "at", "by", "to", "of", "under", "for"}
    words = title.split(" ")
    return " ".join(w if w in small and i > 0 else capital(w) for i, w in enumerate(words))


def story_document(rng):
    """A story on its own: sometimes a title, the paragraphs, an empty line after each."""
    story = draw_story(rng)
    title = [story.title] if rng.random() < 0.25 else []
    return "\n\n".join(title + story.paragraphs) + "\n\n"


def story_request(rng):
    """What a user says to get a story, and the story: (request, Story)."""
    kind = rng.choice(["any", "any", "animal", "animal", "child", "thing", "two"])
    if kind == "any":
        return rng.choice(["a story", "a short story", "a nice story"]), draw_story(rng)
    if kind == "animal":
        animal = rng.choice(ANIMALS if rng.random() < 0.85 else RARE_ANIMALS)
        return "a story about " + article(animal), draw_story(rng, {"a": animal}, "a")
    if kind == "child":
        name = rng.choice(NAMES if rng.random() < 0.85 else RARE_GIRLS + RARE_BOYS)
        return "a story about " + name, draw_story(rng, {"n": name}, "n")
    if kind == "thing":
        toy, colour = rng.choice(TOYS), rng.choice(COLOURS)
        return f"a story about {article(colour)} {toy}", draw_story(rng, {"t": toy, "c": colour}, "t")
    name, friend = rng.sample(NAMES, 2)
    return f"a story about {name} and {friend}", draw_story(rng, {"n": name, "f": friend}, "nf")
