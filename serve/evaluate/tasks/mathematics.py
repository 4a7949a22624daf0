"""GSM8K as lm-evaluation-harness 0.4.13 scores it, and MATH-500 by what answers mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from align.rewards.equality import same
from align.rewards.math import boxed, extract
from serve.errors import EvaluationError
from serve.evaluate.files import Item
from serve.evaluate.generate import Generative, Prompt

MARKED = re.compile(r"#### (\-?[0-9\.\,]+)")
NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = [re.compile(one) for one in (",", r"\$", r"(?s).*#### ", r"\.$")]
NOTHING = "[invalid]"


@dataclass(frozen=True)
class Gsm8k(Generative):
    """Word problems of grade schools (arXiv:2110.14168). Fields: question, answer, which ends with #### NUMBER.

    exact_match takes the first #### NUMBER of an answer (the harness' strict-match), exact_match_flexible its last
    number; commas, dollars and a last full stop are no part of it. The harness asks after 5 examples: shots 5.
    """

    name: ClassVar[str] = "gsm8k"
    stop: ClassVar[tuple[str, ...]] = ("Question:", "</s>", "<|im_end|>")

    def ask(self, item: Item) -> Prompt:
        answer = item.text("answer")
        if "#### " not in answer:
            raise item.wrong("answer", answer, "a solution that ends with #### NUMBER")
        return Prompt(f"Question: {item.text('question')}\nAnswer:", answer, {})

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        """Compare the numbers as texts."""
        right = [_bare(one.answer) for one in prompts]
        ways = {"exact_match": _first_marked, "exact_match_flexible": _last_number}
        return {
            name: [float(_bare(find(written[0])) == gold) for written, gold in zip(texts, right)]
            for name, find in ways.items()
        }


def _first_marked(text: str) -> str:
    found = MARKED.search(text)
    return found[1].strip() if found else NOTHING


def _last_number(text: str) -> str:
    found = NUMBER.findall(text)
    return next(one for one in found[-1] if one).strip() if found else NOTHING


def _bare(text: str) -> str:
    for one in IGNORED:
        text = one.sub("", text)
    return text.lower()


@dataclass(frozen=True)
class Math500(Generative):
    r"""Competition problems (arXiv:2103.03874, arXiv:2305.20050). Fields: problem, and answer, or solution with \boxed.

    exact_match: the answer means what the right one means, as the reward `math` has it (numbers, sets, intervals,
    expressions at points). This is not the harness' comparison of normalised texts, which takes 1/2 and 0.50 for two
    answers.
    """

    name: ClassVar[str] = "math500"
    stop: ClassVar[tuple[str, ...]] = ("Problem:",)

    max_tokens: int = 512

    def ask(self, item: Item) -> Prompt:
        solution = item.text("solution") if "solution" in item.value else ""
        answer: Any = item.value.get("answer")
        if answer is None:
            found = boxed(solution)
            if found is None:
                raise EvaluationError(f"{item.place}: neither a field answer nor a \\boxed in a field solution")
            answer = found[1]
        return Prompt(f"Problem: {item.text('problem')}\nAnswer:", solution or str(answer), {"answer": str(answer)})

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        """Compare what the answers mean."""
        found = [extract(written[0]) for written in texts]
        return {
            "exact_match": [
                float(one is not None and same(one, prompt.record["answer"])) for one, prompt in zip(found, prompts)
            ]
        }
