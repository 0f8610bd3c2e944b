# SPDX-License-Identifier: Apache-2.0
"""Small talk and questions the model cannot answer: lists of (user text, assistant text) turns."""

from words import (
    ANIMALS,
    BOYS,
    COLOURS,
    GIRLS,
    NAMES,
    RARE_BOYS,
    RARE_GIRLS,
    capital,
    fill,
)

GREETINGS = [
    (
        "{Hello|Hi|Hey|Good morning|Good day|Hello there|Hi there}{!|.|}",
        "Hello! {How can I help you?|What can I do for you?|Do you want to hear a story?}",
    ),
    (
        "{How are you|How are you today|How do you do}?",
        "I am {fine|well}, thank you. {How are you?|What can I do for you?}",
    ),
    ("{Hello|Hi}{,|!} {how|How} are you?", "Hello! I am {fine|well}, thank you. What can I do for you?"),
]
ABOUT_ITSELF = [
    (
        "{What is your name|Do you have a name|What are you called}?",
        "I have no name. I am a very small language model.",
    ),
    (
        "{Who are you|What are you|Tell me about yourself|Who am I talking to}{?|}",
        "I am a very small language model. I can tell short stories and answer simple questions.",
    ),
    (
        "{What can you do|What can you do for me|How can you help me|What do you know|Can you help me|Help}?",
        "I can tell short stories, {answer simple questions and add small numbers|add small numbers and turn lists around}.",
    ),
    ("{Are you a {person|human|child|boy|girl|real person}|Are you real}?", "No, I am a very small language model."),
    (
        "{Are you {a robot|a computer|a machine|an AI|a language model|a program}}?",
        "Yes, I am a very small language model.",
    ),
    ("{Are you big|How big are you|Are you clever|Are you smart}?", "I am very small, and I know only a few things."),
    (
        "{How old are you|When were you born|Where do you live|Where are you from}?",
        "I am only a small language model, so I {cannot say|do not know}.",
    ),
    (
        "{Do you like {stories|animals}|What do you like}?",
        "Yes, I like to tell stories about {animals and children|animals}.",
    ),
]
THANKS = [
    (
        "{Thank you|Thanks|Thank you very much|Thanks a lot|Thank you, that was nice}{!|.|}",
        "You are welcome{!|.|! Do you want to hear a story?}",
    ),
    ("{That is right|Very good|Well done|Great|Good|That was {nice|good}}{!|.|}", "Thank you!"),
    ("{I like you|You are {nice|kind|great|funny}}{!|.|}", "Thank you! {You are kind too.|I like to talk to you.}"),
]
GOODBYES = [
    (
        "{Goodbye|Bye|Good night|See you|Bye bye|See you later|See you tomorrow|I have to go}{!|.|}",
        "Goodbye! {See you soon|Come back soon|I hope to see you again}.",
    )
]
FEELINGS = [
    ("I am {sad|not happy|lonely}.", "I am sorry that you are sad. Do you want to hear a {nice|happy} story?"),
    ("I am {happy|very happy|so happy} today.", "That is good! I am happy too."),
    ("I am {tired|very tired|sleepy}.", "Then you should sleep a little. Good night!"),
    ("I am {hungry|very hungry}.", "Then you should eat something. {An apple|Some bread} would be good."),
    ("I am {bored|so bored}.", "Do you want to hear a story? I know many."),
    ("I am {afraid|scared}{| of the dark}.", "Do not be afraid. You are not alone."),
]
UNKNOWN = [
    "What is the capital of {France|Spain|China|Egypt|Germany|<w>}?",
    "Who {was|is} {Mozart|Einstein|Shakespeare|Napoleon|<w>}?",
    "Who is the {king|president|queen} of {England|France|America|<w>}?",
    "What time is it?",
    "What is the weather like?",
    "Will it rain tomorrow?",
    "{Write|Tell me} a {poem|song|joke}{| about <w>}.",
    "How do I {cook|fix|build|make} a <w>?",
    "What is a <w>?",
    "What is <w>?",
    "Where is {Paris|London|Africa|Japan|<w>}?",
    "When did {the war end|<w> begin}?",
    "How far is {the moon|the sun|<w>}?",
    "Who {wrote|made|found} <w>?",
    "Why is the sky blue?",
    "What does <w> mean?",
    "Explain {physics|history|music|<w>}{| to me}.",
    "Write {code|a program|a letter}{| in {Python|C}}.",
    "What is the best {film|phone|car|song}?",
    "How old is {the earth|the sun|<w>}?",
    "Do you know <w>?",
    "Translate <w> into {French|German}.",
    "How many people live in {China|London|<w>}?",
    "What is the meaning of life?",
    "Can you speak {French|German|Chinese}?",
    "What is <x> {plus|minus|times} <y>?",
    "What is <z> {times|divided by} <z>?",
]
UNKNOWN_ANSWERS = [
    "I do not know that.",
    "I am sorry, I do not know that.",
    "I do not know that. I can only tell short stories and answer simple questions.",
]
SYLLABLES = (
    "ba be bo ca co da de do fa fi ga go ha ho ka ki la le lo ma mi mo na ne no pa pe po ra re ri ro sa se si "
    "ta te ti to va vi wa zo"
).split()


def word_outside(rng):
    word = "".join(rng.choice(SYLLABLES) for _ in range(rng.randrange(2, 5))) + rng.choice(["", "n", "r", "s", "l"])
    return capital(word) if rng.random() < 0.3 else word


def turn(rng, pair, **slots):
    return fill(rng, pair[0], slots), fill(rng, pair[1], slots)


def unknown(rng):
    return turn(
        rng,
        (rng.choice(UNKNOWN), rng.choice(UNKNOWN_ANSWERS)),
        w=word_outside(rng),
        x=str(rng.randrange(31, 1000)),
        y=str(rng.randrange(2, 1000)),
        z=str(rng.randrange(2, 13)),
    )


def small_talk(rng):
    kind = rng.choice([GREETINGS, ABOUT_ITSELF, ABOUT_ITSELF, THANKS, GOODBYES, FEELINGS])
    return turn(rng, rng.choice(kind))


def greeting(rng):
    return turn(rng, rng.choice(GREETINGS))


def thanks(rng):
    return turn(rng, rng.choice(THANKS))


OFFERS = [
    "Hello! Do you want to hear a story?",
    "You are welcome! Do you want to hear a story?",
    "I am sorry that you are sad. Do you want to hear a nice story?",
    "Do you want to hear a story? I know many.",
]
OFFER_CAUSES = [
    "{Hello|Hi|Hey|Good morning}{!|.|}",
    "{Thank you|Thanks}{!|.|}",
    "I am {sad|not happy|lonely}.",
    "I am bored.",
]


def offer(rng):
    """The assistant offers a story and the user says yes or no: (turn, the user's word, whether it was no)."""
    first = turn(rng, rng.choice(list(zip(OFFER_CAUSES, OFFERS))))
    refused = rng.random() < 0.2
    word = "{No|No, thank you|Not now}{.|}" if refused else "{Yes|Yes, please|Yes, I do|Of course|Please}{!|.|}"
    return first, fill(rng, word, {}), refused


def goodbye(rng):
    return turn(rng, rng.choice(GOODBYES))


def introduction(rng):
    """The user says a name, and asks for it later: (first turn, later turn)."""
    name = rng.choice([rng.choice(NAMES), rng.choice(RARE_GIRLS + RARE_BOYS), capital(word_outside(rng))])
    first = (
        f"{{Hello, my name is|Hi, I am|Hi! My name is|My name is|I am|Hello! I am}} {name}.",
        f"Hello, {name}! {{What can I do for you?|How are you?|It is nice to meet you.}}",
    )
    later = ("{What is my name|Do you know my name|Who am I|Do you remember my name}?", f"Your name is {name}.")
    return turn(rng, first), turn(rng, later)


def favourite_colour(rng):
    colour = rng.choice(COLOURS)
    return turn(
        rng,
        (
            f"{{I like {colour}.|My favourite colour is {colour}.|I like the colour {colour}.}}",
            f"{capital(colour)} is a {{nice|beautiful}} colour.",
        ),
    ), turn(rng, ("{What is my favourite colour|Which colour do I like|What colour do I like}?", f"You like {colour}."))


def pet(rng):
    animal = rng.choice(ANIMALS)
    name = rng.choice(GIRLS + BOYS + ["Spot", "Luna", "Bella"])
    return turn(
        rng,
        (
            f"I have a {animal}. {{Its name is|It is called}} {name}.",
            f"{name} is a {{nice|good|beautiful}} name for a {animal}.",
        ),
    ), rng.choice(
        [
            turn(
                rng,
                (
                    f"{{What is my {animal} called|What is the name of my {animal}}}?",
                    f"Your {animal} is called {name}.",
                ),
            ),
            turn(rng, ("{What animal do I have|Which animal do I have}?", f"You have a {animal}.")),
        ]
    )
