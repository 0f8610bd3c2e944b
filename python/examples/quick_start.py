# SPDX-License-Identifier: Apache-2.0
"""Loads a model, writes a text, answers a question, and looks at the logits.

python quick_start.py
python quick_start.py --model model.pth --strategy "cpu bf16" --prompt "The capital of France is"
"""

import argparse
import sys

import rwkvcpp


def main() -> None:
    parser = argparse.ArgumentParser(description="Load a model and write a text.")
    parser.add_argument("--model", default=rwkvcpp.DEMO_MODEL, help="a .pth or .safetensors file; default: the bundled model")
    parser.add_argument("--strategy", default="auto", help="where layers run and in which type, as docs/strategy.md says")
    parser.add_argument("--prompt", default="Once upon a time", help="the beginning of the text")
    args = parser.parse_args()

    with rwkvcpp.Model(args.model, args.strategy) as model:
        pipeline = rwkvcpp.Pipeline(model)
        print(f"{model}\n{model.placement}\n")

        text = pipeline.generate(args.prompt, 120, temperature=0.7, top_p=0.9, token_stop=0, seed=1)
        print(f"{args.prompt}{text}\n")

        question = "User: What is 7 plus 8?\n\nAssistant:"
        print(question + pipeline.generate(question, 40, temperature=0, stop="\n\n", token_stop=0) + "\n")

        # One level below: tokens in, logits [n_vocab] out.
        tokens = pipeline.tokenizer.encode(args.prompt)
        logits = model.forward(tokens)
        print(f"{len(tokens)} tokens; the likeliest after them:")
        for token in logits.argsort()[:-6:-1]:
            print(f"  {logits[token]:7.3f}  {pipeline.tokenizer.decode(token)!r}")


if __name__ == "__main__":
    try:
        main()
    except rwkvcpp.RwkvError as error:
        sys.exit(f"error: {error}")
