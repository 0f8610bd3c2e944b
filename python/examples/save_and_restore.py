# SPDX-License-Identifier: Apache-2.0
"""A conversation that outlives the program: the state is saved to a file after each run and restored in the next.

python save_and_restore.py talk.state "My name is Anna."
python save_and_restore.py talk.state "What is my name?"       # a new process: it remembers
"""

import argparse
import sys
from pathlib import Path

import rwkvcpp


def main() -> None:
    parser = argparse.ArgumentParser(description="Go on with a saved conversation.")
    parser.add_argument("state", type=Path, help="the file; made if it is not there")
    parser.add_argument("say", nargs="+", help="what the user says, one turn each")
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    args = parser.parse_args()

    model = rwkvcpp.Model(args.model)
    pipeline = rwkvcpp.Pipeline(model)
    # A state of another model, or a damaged one, is a StateError.
    state = rwkvcpp.State.load(args.state, model) if args.state.exists() else model.new_state()
    print(f"{args.state}: {state.tokens_seen} tokens remembered")
    for said in args.say:
        prompt = f"User: {said}\n\nAssistant:"
        stream = pipeline.stream(
            prompt, 200, state=state, temperature=0, alpha_presence=0, alpha_frequency=0, stop="\n\n", token_stop=0
        )
        print(prompt + "".join(stream) + "\n")
        # The state has not seen the last token yet; see streaming_chat.py.
        if unseen := stream.tokens[stream.fed_tokens :]:
            model.forward(unseen, state)
        if stream.reason != "string":
            pipeline.read("\n\n", state)
    state.save(args.state)
    print(f"{args.state}: {state.tokens_seen} tokens, {args.state.stat().st_size} bytes")


if __name__ == "__main__":
    try:
        main()
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
