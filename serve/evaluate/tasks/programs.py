"""Programs that a model writes, run against their tests in a locked-down process."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from align.errors import RewardError
from align.rewards import code, jail
from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate.files import Item
from serve.evaluate.generate import Generative, Prompt
from serve.evaluate.task import Read


@dataclass(frozen=True)
class HumanEval(Generative):
    """Functions from their docstrings (arXiv:2107.03374): pass@k, the chance that one of k answers passes all tests.

    Fields: prompt, test (Python with `check`, called with entry_point; or a list of statements), entry_point. The
    program is the prompt and the completion after it, up to the next top-level statement. It runs as the reward
    `code` runs programs: no network, no files, no processes; nothing runs where that cannot be enforced.
    """

    name: ClassVar[str] = "humaneval"
    stop: ClassVar[tuple[str, ...]] = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

    max_tokens: int = 1024
    samples: int = 1  # answers a prompt
    k: tuple[int, ...] = (1,)
    temperature: float = 0.0  # 0.8 for several samples, as in the paper; 0: the most likely tokens
    seconds: float = 5.0  # of each program
    memory_mb: int = 512
    workers: int = 2  # programs at a time

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or self.workers < 1 or not self.k or min(self.k) < 1 or max(self.k) > self.samples:
            raise ServeSettingsError(
                f"humaneval: k {list(self.k)} needs samples of at least {max(self.k, default=1)}, not {self.samples}"
            )
        if self.samples > 1 and not self.temperature > 0:
            raise ServeSettingsError(
                "humaneval: several samples at temperature 0 are one and the same; set temperature"
            )
        if self.seconds <= 0 or self.memory_mb < 64 or self.temperature < 0:
            raise ServeSettingsError("humaneval needs seconds above 0, memory_mb of at least 64, temperature 0 or more")

    @property
    def drawn(self) -> tuple[int, float]:
        """Return how many answers a prompt gets, and at which temperature."""
        return self.samples, self.temperature

    def read(self) -> Read:
        """Read the files. Raises EvaluationError, also where programs cannot be locked down."""
        if why := code.refusal():
            raise EvaluationError(f"humaneval runs nothing: untrusted code cannot be locked down here: {why}")
        return super().read()

    def ask(self, item: Item) -> Prompt:
        prompt, tests = item.text("prompt"), item.field("test")
        try:
            found = list(code.cases(tests, item.value))
        except RewardError as error:
            raise EvaluationError(f"{item.place}: field test: {error}") from None
        answer = str(item.value.get("canonical_solution", ""))
        if isinstance(tests, str) and "def check(" in tests:
            item.text("entry_point")
        return Prompt(prompt, answer, {"cases": found})

    def judge(self, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        """Run every program."""
        jobs = [(prompt, text) for prompt, written in zip(prompts, texts) for text in written]
        with ThreadPoolExecutor(self.workers) as pool:
            passed = np.array(list(pool.map(self._passes, jobs))).reshape(len(prompts), self.samples)
        return {f"pass@{k}": [pass_at(k, self.samples, int(one.sum())) for one in passed] for k in self.k}

    def _passes(self, job: tuple[Prompt, str]) -> bool:
        prompt, text = job
        limits = jail.Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        for tests, stdin, wanted in prompt.record["cases"]:
            outcome = jail.run(prompt.text + text, tests, stdin, limits)
            if outcome.refused:
                raise EvaluationError(f"{prompt.place}: the program was not run: {outcome.reason}")
            printed = [line.rstrip() for line in outcome.output.decode(errors="replace").rstrip().splitlines()]
            if not outcome.passed or (wanted is not None and printed != wanted):
                return False
        return True


def pass_at(k: int, samples: int, right: int) -> float:
    """Return the unbiased estimate of the chance that one of k answers is right (arXiv:2107.03374, equation 1).

    1 - C(samples - right, k) / C(samples, k), as a product.
    """
    if samples - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - right + 1, samples + 1)))
