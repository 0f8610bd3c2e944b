# SPDX-License-Identifier: Apache-2.0
"""Conversations of several turns; later turns refer back to earlier ones."""

import talk
from questions import draw_question
from stories import draw_story, story_request
from words import (
    ANIMALS,
    COLOURS,
    NAMES,
    NUMBERS,
    OPPOSITES,
    PLACES,
    THINGS,
    article,
    at,
    capital,
    fill,
    pronouns,
)


def conversation_document(rng):
    """`User: ...\\n\\nAssistant: ...\\n\\n` for every turn."""
    return "".join(f"User: {typed(rng, user)}\n\nAssistant: {assistant}\n\n" for user, assistant in draw_turns(rng))


def typed(rng, text):
    """Some users leave out the first capital and the last full stop."""
    if len(text) < 80 and rng.random() < 0.08:
        return (text[0].lower() + text[1:]).rstrip(".?!")
    return text


def draw_turns(rng):
    if rng.random() < 0.15:
        return with_memory(rng)
    turns = [talk.greeting(rng)] if rng.random() < 0.1 else []
    for _ in range(rng.choice([1, 1, 2, 3])):
        turns += rng.choices(
            [
                single_questions,
                told_story,
                given_story,
                facts,
                sums,
                opposites,
                word_list,
                quiz,
                offered_story,
                asked_back,
                small_talk,
                unknown,
            ],
            [32, 14, 12, 10, 6, 4, 5, 4, 2, 1, 6, 5],
        )[0](rng)
    if rng.random() < 0.12:
        turns.append(talk.thanks(rng))
    if rng.random() < 0.08:
        turns.append(talk.goodbye(rng))
    return turns


def with_memory(rng):
    """Something is told at the beginning and asked for at the end."""
    first, last = rng.choice([talk.introduction, talk.introduction, talk.favourite_colour, talk.pet])(rng)
    between = []
    for _ in range(rng.choice([0, 1, 1, 2])):
        between += rng.choice([single_questions, facts, sums, small_talk])(rng)
    return [first] + between + [last]


def single_questions(rng):
    return [draw_question(rng) for _ in range(rng.choice([1, 2, 3]))]


def small_talk(rng):
    return [talk.small_talk(rng)]


def unknown(rng):
    return [talk.unknown(rng)]


def some(rng, questions, most=3):
    return rng.sample(questions, min(len(questions), rng.randrange(1, most + 1)))


def told_story(rng):
    """The user asks for a story and then about it."""
    wanted, story = story_request(rng)
    request = rng.choice(
        [
            "Tell me {}.",
            "Tell me {}.",
            "Please tell me {}.",
            "Can you tell me {}?",
            "I want to hear {}.",
            "Write {}.",
            "Do you know {}?",
        ]
    ).format(wanted)
    turns = [(request, story.text)]
    if rng.random() < 0.6:
        turns += some(rng, story.questions + [what_happened(rng, story)], 4)
    if rng.random() < 0.12:
        turns.append(
            (
                rng.choice(["Tell me another story.", "Another story, please.", "Another one, please."]),
                draw_story(rng).text,
            )
        )
    return turns


def offered_story(rng):
    first, word, refused = talk.offer(rng)
    if refused:
        return [first, (word, "All right. What can I do for you?")]
    return [first, (word, draw_story(rng).text)]


def asked_back(rng):
    """The assistant asks how the user is."""
    mood, answer = rng.choice(
        [
            ("I am fine", "That is good!"),
            ("I am well", "That is good!"),
            ("Fine, thank you", "That is good!"),
            ("Good", "That is good!"),
            ("Not so good", "I am sorry. I hope that you feel better soon."),
        ]
    )
    return [("How are you?", "I am fine, thank you. How are you?"), (mood + rng.choice(["", ".", "!"]), answer)]


def what_happened(rng, story):
    question = rng.choice(
        [
            "What happened?",
            "What is the story about?",
            "What happened in the story?",
            "Tell it again in one sentence.",
            "Can you say it in one sentence?",
        ]
    )
    return question, story.summary


def given_story(rng):
    """The user tells a story and asks about it."""
    story = draw_story(rng)
    questions = some(rng, story.questions + [what_happened(rng, story)], 4)
    opening = rng.choice(["", "", "Here is a story: ", "Read this story: "])
    first = (f"{opening}{story.text} {questions[0][0]}", questions[0][1])
    if rng.random() < 0.3:
        return [(opening + story.text, rng.choice(["That is a nice story.", "What a nice story!"]))] + questions
    return [first] + questions[1:]


def sums(rng):
    """A sum, and sums that lean on the one before."""
    a, b = rng.randrange(11), rng.randrange(11)
    total = a + b
    turns = [(rng.choice([f"What is {a} plus {b}?", f"How much is {a} plus {b}?"]), f"{a} plus {b} is {total}.")]
    for _ in range(rng.choice([1, 2])):
        if rng.random() < 0.5:
            a, b = rng.randrange(11), rng.randrange(11)
            total = a + b
            turns.append(
                (rng.choice([f"And {a} plus {b}?", f"And what is {a} plus {b}?"]), f"{a} plus {b} is {total}.")
            )
        elif rng.random() < 0.5 and total < 20:
            more = rng.randrange(1, min(6, 21 - total))
            turns.append(
                (rng.choice([f"And {more} more?", f"Plus {more}?"]), f"{total} plus {more} is {total + more}.")
            )
            total += more
        else:
            less = rng.randrange(min(6, total + 1))
            turns.append(
                (rng.choice([f"And minus {less}?", f"Minus {less}?"]), f"{total} minus {less} is {total - less}.")
            )
            total -= less
    return turns


def opposites(rng):
    pairs = [rng.choice([pair, pair[::-1]]) for pair in rng.sample(OPPOSITES, rng.choice([2, 3]))]
    first, other = pairs[0]
    turns = [(f"What is the opposite of {first}?", f"The opposite of {first} is {other}.")]
    return turns + [
        (
            rng.choice(["And of {}?", "And the opposite of {}?", "And {}?"]).format(word),
            f"The opposite of {word} is {other}.",
        )
        for word, other in pairs[1:]
    ]


def facts(rng):
    """Two or three people, each in a place with a thing, and questions with pronouns about them."""
    people = rng.sample(NAMES, rng.choice([2, 2, 3]))
    count = len(people)
    where = dict(zip(people, rng.sample(sorted(PLACES), count)))
    thing = dict(zip(people, rng.sample(THINGS, count)))
    colour = dict(zip(people, rng.sample(COLOURS, count)))
    told = " ".join(f"{p} is {at(where[p])} with {article(colour[p])} {thing[p]}." for p in people)

    def questions(person, subject, owner):
        return [
            (f"Where is {subject}?", f"{person} is {at(where[person])}."),
            (f"What does {subject} have?", f"{person} has {article(colour[person])} {thing[person]}."),
            (f"What colour is {owner} {thing[person]}?", f"The {thing[person]} is {colour[person]}."),
        ]

    turns = []
    for person in rng.sample(people, rng.choice([1, 2, count])):
        now, later = rng.sample(range(3), 2)
        she, her, _ = pronouns(person)
        turns.append(questions(person, person, person + "'s")[now])
        if rng.random() < 0.6:
            user, assistant = questions(person, she, her)[later]
            turns.append(("And " + user[0].lower() + user[1:], assistant))
    if rng.random() < 0.3:
        person = rng.choice(people)
        turns.append((f"Who is {at(where[person])}?", f"{person} is {at(where[person])}."))
    if rng.random() < 0.3:
        return [(told, rng.choice(["All right.", "I will remember that."]))] + turns
    return [(told + " " + turns[0][0], turns[0][1])] + turns[1:]


def word_list(rng):
    """A list to remember, then tasks with it."""
    words = rng.sample(THINGS + ANIMALS, rng.choice([3, 3, 4]))
    told = (
        rng.choice(["Remember these words: {}.", "Here are some words: {}.", "Please remember: {}."]).format(
            ", ".join(words)
        ),
        "All right. I will remember them.",
    )
    tasks = [
        ("What were the words?", ", ".join(words) + "."),
        ("What was the first word?", f"The first word was {words[0]}."),
        ("What was the last word?", f"The last word was {words[-1]}."),
        ("Say them {in the other order|backwards}.", ", ".join(reversed(words)) + "."),
        ("How many {words|of them} were there?", f"There were {NUMBERS[len(words)]} words."),
    ]
    return [told] + [(fill(rng, user, {}), answer) for user, answer in some(rng, tasks)]


def quiz(rng):
    """The assistant asks, the user answers, right or wrong."""
    a, b = rng.randrange(1, 11), rng.randrange(1, 11)
    first, other = rng.choice(OPPOSITES)
    wrong = rng.choice([w for pair in OPPOSITES for w in pair if w not in (first, other)])
    question, right, wrong, fact = rng.choice(
        [
            (f"What is {a} plus {b}?", str(a + b), str(a + b + rng.choice([-1, 1, 2])), f"{a} plus {b} is {a + b}."),
            (f"What is the opposite of {first}?", other, wrong, f"The opposite of {first} is {other}."),
        ]
    )
    ask = rng.choice(["Ask me something.", "Ask me a question.", "Can you ask me a question?"])
    if rng.random() < 0.6:
        return [
            (ask, question),
            (capital(right) + rng.choice(["", "."]), rng.choice(["Yes, that is right!", f"That is right! {fact}"])),
        ]
    return [(ask, question), (capital(wrong) + rng.choice(["", "."]), f"No, that is wrong. {fact}")]
