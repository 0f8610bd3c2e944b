# SPDX-License-Identifier: Apache-2.0
"""The text of the small world: documents drawn from a seed. `python3 world.py 3` shows three."""

import random
import sys

from conversations import conversation_document
from stories import story_document

HELD_OUT_SEED = 1_000_000_007  # documents from this seed on are never trained on
STORY_SHARE = 0.35


def document(seed):
    """One document; it ends with an empty line. The same seed gives the same text."""
    rng = random.Random(seed)
    return story_document(rng) if rng.random() < STORY_SHARE else conversation_document(rng)


if __name__ == "__main__":
    for index in range(int(sys.argv[1])):
        print(document(index), end="-----\n")
