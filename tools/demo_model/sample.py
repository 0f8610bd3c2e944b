# SPDX-License-Identifier: Apache-2.0
"""Writes samples for reading: `python3 sample.py demo.pth` (the fifty of samples.txt) or `... demo.pth "One day, Anna"`."""

import argparse

import torch

from recurrent import Recurrent
from vocab import Tokenizer

STORY_PROMPTS = [
    "Once upon a time",
    "One day, Anna",
    "One sunny day, Tom",
    "The",
    "Once upon a time, there was a little girl",
    "Ben and Mia",
    "It was winter",
    "Late one night, Leo",
    "There was once",
    "A big bear",
    "One day, a little frog",
    "Lily",
    "One morning, Oscar went to the river.",
    "It was Rose's birthday",
    "The Red Kite\n\n",
    "There once was a boy",
    "One evening",
    "Sam was new at school.",
    "\n",
    "In the morning, there was snow everywhere.",
    "One night, Zoe",
    "Once upon a time, a fox",
    "Emma found an old map.",
    "A little duck",
    "Max",
]
QUESTION_PROMPTS = [
    ["Tell me a story about a fox.", "What happened?"],
    ["What is 7 plus 8?", "And 3 plus 5?"],
    ["Hello!", "What can you do?"],
    ["Who are you?"],
    ["What is the opposite of big?", "And of hot?"],
    ["Count from 3 to 9."],
    ["What comes next: 2, 4, 6?"],
    ["Say these words in the other order: lamp, dog, kite."],
    ["Tom has a ball, a hat and a book. How many things does Tom have?"],
    ["My name is Ella.", "What is 9 minus 4?", "What is my name?"],
    [
        "Mia is in the barn with a red cup. Jack is by the lake with a green hat. Where is Jack?",
        "And what colour is his hat?",
        "Who is in the barn?",
    ],
    ["Anna has 4 apples. Ben gives her 3 more. How many apples does Anna have now?"],
    ["What is the capital of Spain?", "Thank you."],
    ["What comes next: red, blue, red, blue, red?"],
    ["Remember these words: key, cow, drum.", "Say them backwards."],
    ["Can you tell me a story about Leo and Nora?", "Where did they go?", "Tell me another story."],
    ["What does the cow say?", "How do you spell cow?"],
    ["Which is bigger, a mouse or a horse?"],
    ["Please tell me a story about a blue boat.", "What colour was the boat?"],
    ["I am sad.", "Tell me a story."],
    ["What day comes after Friday?"],
    ["What is 13 - 6?", "Plus 2?"],
    ["Sort these numbers: 9, 4, 12."],
    ["Tom was at school. Then he went to the park. Where is Tom now?"],
    ["Ask me something."],
]


def draw(logits, temperature, top_p, generator):
    """Keeps the likeliest tokens that together reach top_p, then draws with the temperature."""
    p = torch.softmax(logits, -1)
    ordered = p.sort(descending=True).values
    cutoff = ordered[(ordered.cumsum(0) >= top_p).nonzero()[0, 0]]
    p = torch.where(p < cutoff, torch.zeros(()), p) ** (1 / temperature)
    return int(torch.multinomial(p, 1, generator=generator))


class Writer:
    def __init__(self, path, temperature, top_p, seed):
        self.model, self.tokenizer = Recurrent(path), Tokenizer()
        self.temperature, self.top_p = temperature, top_p
        self.generator = torch.Generator().manual_seed(seed)

    def read(self, text, state):
        for token in self.tokenizer.encode(text):
            logits = self.model.step(token, state)
        return logits

    def write(self, logits, state, stop, limit=400):
        """The text up to token 0 or, if `stop` is given, up to and without that text."""
        ids = []
        while len(ids) < limit:
            token = draw(logits, self.temperature, self.top_p, self.generator)
            if token == 0:
                break
            ids.append(token)
            logits = self.model.step(token, state)
            if stop and self.tokenizer.decode(ids).endswith(stop):
                return self.tokenizer.decode(ids)[: -len(stop)]
        return self.tokenizer.decode(ids)

    def story(self, prompt):
        state = self.model.zero_state()
        return prompt + self.write(self.read(prompt, state), state, None)

    def conversation(self, questions):
        state, text = self.model.zero_state(), ""
        for question in questions:
            said = f"User: {question}\n\nAssistant:"
            answer = self.write(self.read(said, state), state, "\n\n")
            text += said + answer + "\n\n"
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("prompt", nargs="*", help="a beginning, or one or more turns of the user")
    parser.add_argument("--chat", action="store_true", help="the prompts are turns of the user")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_intermixed_args()
    writer = Writer(args.checkpoint, args.temperature, args.top_p, args.seed)
    if args.prompt:
        print(writer.conversation(args.prompt) if args.chat else writer.story(args.prompt[0]))
        return
    print(
        f"temperature {args.temperature}, top_p {args.top_p}, seed {args.seed}; every sample starts with a zero state"
    )
    for index, prompt in enumerate(STORY_PROMPTS + QUESTION_PROMPTS, 1):
        text = writer.story(prompt) if isinstance(prompt, str) else writer.conversation(prompt)
        print(f"\n===== {index}: {prompt!r}\n{text.strip()}", flush=True)


if __name__ == "__main__":
    main()
