# SPDX-License-Identifier: Apache-2.0
"""What a plot is made of."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plot:
    title: str  # template
    about: str  # the slots (one letter each) that the story is really about
    text: str  # template; one line is one paragraph
    summary: str  # template; the answer to "What happened?"
    questions: list  # (question template, answer template); the answers follow from the text
    choices: dict = field(default_factory=dict)  # further slots: name -> words
