# SPDX-License-Identifier: Apache-2.0
"""A conversation: reads lines from stdin, answers piece by piece. One state remembers everything; nothing is read twice.

python streaming_chat.py                                    # Ctrl-C ends an answer, Ctrl-D the conversation
printf 'My name is Anna.\\nWhat is my name?\\n' | python streaming_chat.py
"""

import argparse
import contextlib
import sys

import rwkvcpp


def answer(pipeline: rwkvcpp.Pipeline, said: bytes, state: rwkvcpp.State, temperature: float) -> None:
    """Prints the answer to one line and leaves the state behind it, ready for the next line."""
    prompt = b"User: " + said + b"\n\nAssistant:"
    stream = pipeline.stream(
        prompt, 300, state=state, temperature=temperature, top_p=0.9, alpha_presence=0, alpha_frequency=0, stop="\n\n", token_stop=0
    )
    with contextlib.suppress(KeyboardInterrupt):
        for piece in stream:
            print(piece, end="", flush=True)
    print()
    # The state has not seen the last token yet. Those of a stop string are among the tokens; without one, the turn is closed here.
    unseen = stream.tokens[stream.fed_tokens :]
    if unseen:
        pipeline.model.forward(unseen, state)
    if stream.reason != "string":
        pipeline.read("\n\n", state)


def main() -> None:
    parser = argparse.ArgumentParser(description="Talk to a model.")
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    parser.add_argument("--temperature", type=float, default=0.7, help="0: always the likeliest token")
    args = parser.parse_args()

    pipeline = rwkvcpp.Pipeline(rwkvcpp.Model(args.model))
    state = pipeline.model.new_state()
    for line in sys.stdin.buffer:  # bytes: a prompt need not be valid UTF-8
        if line.strip():
            answer(pipeline, line.strip(), state, args.temperature)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
