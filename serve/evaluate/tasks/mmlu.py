"""MMLU: letters as answers, described by subject, asked as lm-evaluation-harness 0.4.13 asks it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar

from serve.evaluate import shots
from serve.evaluate.choice import Choice, Question
from serve.evaluate.files import Item, listed

LETTERS = ("A", "B", "C", "D")
BARE = ("question", *LETTERS, "answer")  # columns of MMLU's own CSV files, which do not name them
FILE = re.compile(r"(.+)_(?:test|val|dev)\.csv:")


@dataclass(frozen=True)
class Mmlu(Choice):
    """Exam questions of 57 subjects (arXiv:2009.03300); acc over all items, and acc/SUBJECT.

    Fields: question, choices (four), answer (0 to 3, or A to D), subject; or MMLU's own CSV files
    (SUBJECT_test.csv, examples SUBJECT_dev.csv). The paper asks after 5 examples: shots 5, the first of each subject.
    """

    name: ClassVar[str] = "mmlu"
    order: ClassVar[shots.Order] = "first"
    counted: ClassVar[tuple[str, ...]] = ("acc",)

    subject: str = ""  # of records that do not say

    def columns(self) -> tuple[str, ...]:
        """Return the columns of MMLU's own CSV files, where these are such."""
        paths = listed(self.name, self.path)
        return BARE if all(FILE.match(PurePosixPath(url).name + ":") for url in paths) else ()

    def ask(self, item: Item) -> Question:
        value: dict[str, Any] = dict(item.value)
        if "choices" not in value and set(LETTERS) <= set(value):
            value["choices"] = [value[one] for one in LETTERS]
        item = Item(item.place, value)
        choices = item.texts("choices", 4)
        if len(choices) != 4:
            raise item.wrong("choices", choices, "four answers")
        file = FILE.match(item.place)
        subject = self.subject or str(value.get("subject") or (file[1] if file else item.text("subject")))
        listed_ = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices))
        said = subject.replace("_", " ")
        return Question(
            (f"{item.text('question').strip()}\n{listed_}\nAnswer:",), LETTERS, LETTERS,
            item.label("answer", 4, "".join(LETTERS)), subject,
            f"The following are multiple choice questions (with answers) about {said}.\n\n",
        )  # fmt: skip
