"""HellaSwag, PIQA, WinoGrande, ARC and RACE, asked as lm-evaluation-harness 0.4.13 asks them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from serve.errors import EvaluationError
from serve.evaluate.choice import Choice, Question
from serve.evaluate.files import Item

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = "  _  ."  # how a RACE question ends that the answer completes


@dataclass(frozen=True)
class HellaSwag(Choice):
    """Which of four endings follows (arXiv:1905.07830). Fields: activity_label, ctx_a, ctx_b, endings, label."""

    name: ClassVar[str] = "hellaswag"

    def ask(self, item: Item) -> Question:
        context = f"{item.text('ctx_a')} {item.text('ctx_b').capitalize()}"
        endings = tuple(map(_plain, item.texts("endings")))
        query = _plain(f"{item.text('activity_label')}: {context}")
        return Question((query,), endings, endings, item.label("label", len(endings)))


def _plain(text: str) -> str:
    """Return a text of WikiHow without its marks: [title] ends a sentence, other brackets go."""
    text = re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


@dataclass(frozen=True)
class Piqa(Choice):
    """Which of two ways reaches a goal (arXiv:1911.11641). Fields: goal, sol1, sol2, label."""

    name: ClassVar[str] = "piqa"

    def ask(self, item: Item) -> Question:
        choices = item.text("sol1"), item.text("sol2")
        return Question((f"Question: {item.text('goal')}\nAnswer:",), choices, choices, item.label("label", 2))


@dataclass(frozen=True)
class Winogrande(Choice):
    """Which of two names fills the blank (arXiv:1907.10641): partial scoring, what follows the blank is scored.

    Fields: sentence with one _, option1, option2, answer (1 or 2).
    """

    name: ClassVar[str] = "winogrande"
    counted: ClassVar[tuple[str, ...]] = ("acc",)

    def ask(self, item: Item) -> Question:
        before, blank, after = item.text("sentence").partition("_")
        if not blank or not after.strip():
            raise EvaluationError(
                f"{item.place}: field sentence has no _ with words after it: {(before + after)[:80]!r}"
            )
        contexts = tuple(before + item.text(name) for name in ("option1", "option2"))
        return Question(contexts, (after.strip(),), contexts, item.label("answer", 2, first=1))


@dataclass(frozen=True)
class ArcEasy(Choice):
    """Science questions of schools (arXiv:1803.05457). Fields: question, choices.text, choices.label, answerKey."""

    name: ClassVar[str] = "arc_easy"

    def ask(self, item: Item) -> Question:
        choices, labels = item.texts("choices.text"), item.texts("choices.label")
        key = str(item.field("answerKey"))
        if len(labels) != len(choices) or key not in labels:
            raise EvaluationError(
                f"{item.place}: field answerKey is {key!r}; the {len(choices)} answers are labelled {', '.join(labels)}"
            )
        return Question((f"Question: {item.text('question')}\nAnswer:",), choices, choices, labels.index(key))


@dataclass(frozen=True)
class ArcChallenge(ArcEasy):
    """Those of them that retrieval and co-occurrence get wrong. Fields as arc_easy."""

    name: ClassVar[str] = "arc_challenge"


@dataclass(frozen=True)
class Race(Choice):
    """Reading comprehension of English exams (arXiv:1704.04683): the last question of each article, after the others.

    Fields: article, and either problems (a list of {question, answer, options}, or that list as Python text, as the
    harness's copy has it), or questions, options and answers, as RACE itself has them.
    """

    name: ClassVar[str] = "race"
    counted: ClassVar[tuple[str, ...]] = ("acc",)

    def ask(self, item: Item) -> Question:
        problems = [Item(f"{item.place}, problem {n}", one) for n, one in enumerate(_problems(item), 1)]
        context = f"Article: {item.text('article')}\n\n"
        for one in problems[:-1]:
            question, options = one.text("question"), one.texts("options")
            answer = options[one.label("answer", len(options), LETTERS)]
            if question.endswith(BLANK):
                context += f"{question[: 1 - len(BLANK)]}{answer}\n"
            else:
                context += f"Question: {question}\nAnswer: {answer}\n"
        last = problems[-1]
        options = last.texts("options")
        return Question(
            (context + last.text("question"),), options, options, last.label("answer", len(options), LETTERS)
        )


def _problems(item: Item) -> list[Mapping[str, Any]]:
    if "problems" not in item.value and "questions" in item.value:
        named = {"question": item.texts("questions", 1), "answer": item.texts("answers", 1)}
        options = item.field("options")
        if not isinstance(options, list) or len({len(options), *map(len, named.values())}) != 1:
            raise EvaluationError(f"{item.place}: questions, options and answers have different lengths")
        return [dict(zip(("question", "answer", "options"), one)) for one in zip(*named.values(), options)]
    found = item.field("problems")
    if isinstance(found, str):
        try:
            found = ast.literal_eval(found)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise item.wrong("problems", found, "a list of {question, answer, options}") from None
    if not isinstance(found, list) or not found or not all(isinstance(one, Mapping) for one in found):
        raise item.wrong("problems", found, "a list of {question, answer, options}")
    return found
