"""Any multiple choice: fields by name, the prompt by a format."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import ClassVar

from serve.errors import ServeSettingsError
from serve.evaluate.choice import Choice, Question
from serve.evaluate.files import Item

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class MultipleChoice(Choice):
    """Which of the answers in a record follows its prompt."""

    name: ClassVar[str] = "multiple_choice"
    counted: ClassVar[tuple[str, ...]] = ("acc", "acc_norm", "acc_bytes")

    prompt: str = "{question}"  # fields of the record in braces; "Question: {question}\nAnswer:" asks as ARC does
    choices: tuple[str, ...] = ("choices",)  # field that holds the list of answers, or a field each
    label: str = "label"  # field that names the right one: a number from first_label up, a letter, or its text
    first_label: int = 0
    group: str = ""  # field by which items are averaged by themselves, too; "": none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.first_label < 0:
            raise ServeSettingsError(
                f"multiple_choice.first_label is {self.first_label}; labels are counted from 0 or more"
            )
        try:
            wrong = [name for _, name, spec, conversion in string.Formatter().parse(self.prompt)
                     if name is not None and (not name or spec or conversion)]  # fmt: skip
        except ValueError as error:
            raise ServeSettingsError(f"multiple_choice.prompt {self.prompt!r}: {error}") from None
        if wrong or not self.choices:
            raise ServeSettingsError("multiple_choice needs a prompt such as '{question}' and fields of choices")

    def ask(self, item: Item) -> Question:
        parts = string.Formatter().parse(self.prompt)
        prompt = "".join(before + (item.text(name) if name else "") for before, name, _, _ in parts)
        choices = item.texts(self.choices[0]) if len(self.choices) == 1 else tuple(map(item.text, self.choices))
        said = item.field(self.label)
        if isinstance(said, str) and choices.count(said) == 1:
            gold = choices.index(said)
        else:
            gold = item.label(self.label, len(choices), LETTERS[: len(choices)], self.first_label)
        return Question((prompt,), choices, choices, gold, str(item.field(self.group)) if self.group else "")
