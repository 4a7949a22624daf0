"""A language model in this process as a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from align.backends.hf.model import read_config
from align.data.chat import Chat
from align.data.record import Unfit
from align.data.turns import turns
from align.errors import AlignError
from align.rollout.generator import Request, Sampling
from align.rollout.transformers import TransformersGenerator
from serve.errors import EvaluationError
from serve.evaluate.local.network import Scorer
from serve.evaluate.local.opening import dtype_of, open_network, open_tokenizer, refuse
from serve.evaluate.local.settings import DTypeName, GeneratorName, LocalSettings
from serve.evaluate.local.writer import Writer
from serve.evaluate.task import Pair, Score
from serve.model import ModelFolder


class Language:
    """A causal language model and its tokenizer.

    Weights are opened when they are first needed: by transformers to score, by the engine to write. Only one of the
    two holds them at a time.
    """

    kind: Literal["language", "reward"] = "language"

    def __init__(self, found: ModelFolder, settings: LocalSettings | None = None):
        """Read configuration and tokenizer. Raises ModelFolderError in one line, for a reward model among others."""
        refuse(found)
        self.name, self._found, self._settings = found.name, found, settings or LocalSettings()
        self._dtype = dtype_of(found, self._settings)
        self.tokenizer = open_tokenizer(found)
        config = read_config(found.folder).get_text_config(decoder=True)
        self.positions = int(getattr(config, "n_positions", None) or config.max_position_embeddings)
        self.vocabulary = int(config.vocab_size)
        begin = self.tokenizer.bos_token_id
        self.prefix = int(begin if begin is not None else self.tokenizer.eos_token_id)
        self._begin = str(self.tokenizer.decode([self.prefix]))
        self._chats: dict[str, Chat] = {}  # by template
        self._scorer: Scorer | None = None
        self._writer: Writer | None = None

    @classmethod
    def load(
        cls, found: ModelFolder, dtype: DTypeName = "auto", device: str = "cpu", tokens: int = 0,
        generator: GeneratorName = "engine",
    ) -> Language:  # fmt: skip
        """Return a model's folder as a subject; dtype auto: as the weights lie. Raises ModelFolderError in one line."""
        return cls(found, LocalSettings(dtype, device, tokens, generator))

    def scorer(self) -> Scorer:
        """Return what scores, opened; what writes gives its memory back."""
        if self._scorer is None:
            self.close()
            self._scorer = Scorer(open_network(self._found, self._settings), self._settings.tokens)
        return self._scorer

    def _writing(self) -> Writer:
        if self._writer is None:
            self.close()
            self._writer = Writer(self._found, self.tokenizer, self._dtype, self._settings.device)
        return self._writer

    def close(self) -> None:
        """Give the memory of weights back; they are opened anew when they are needed."""
        if self._writer is not None:
            self._writer.close()
        self._scorer = self._writer = None

    def encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        """Return the tokens of texts; a text that begins with the begin token as text gets no second one."""
        made: list[list[int]] = [[] for _ in texts]
        for bare in (False, True):
            chosen = [n for n, one in enumerate(texts) if (not special or one.startswith(self._begin)) == bare]
            if chosen:
                found = self.tokenizer([texts[n] for n in chosen], add_special_tokens=not bare, verbose=False)
                for n, one in zip(chosen, found["input_ids"]):
                    made[n] = one
        return made

    def loglikelihoods(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return (sum of log-probabilities in nats, greedy) of each continuation after its context."""
        whole = [np.array([*context, *rest], np.int64)[-(self.positions + 1) :] for context, rest in pairs]
        found = self.scorer().score(whole, [len(rest) for _, rest in pairs])
        return [(float(logprobs.sum()), bool(best.all())) for logprobs, best in found]

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return float32 (length - 1,) of each sequence. Raises EvaluationError for one that is too long or short."""
        for number, one in enumerate(sequences):
            if not 2 <= len(one) <= self.positions + 1:
                raise EvaluationError(
                    f"sequence {number} has {len(one)} tokens; {self.name} takes from 2 to {self.positions + 1}"
                )
        arrays = [np.array(one, np.int64) for one in sequences]
        return [logprobs for logprobs, _ in self.scorer().score(arrays, [len(one) - 1 for one in sequences])]

    def complete(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str], temperature: float = 0.0,
                 seed: int = 0) -> list[str]:  # fmt: skip
        """Return a completion of each prompt; completion n is drawn with seed + n."""
        room = self.positions - max_tokens
        if room < 1:
            raise EvaluationError(f"max_tokens is {max_tokens}; {self.name} has {self.positions} positions")
        asked = [np.array(one[-room:], np.int64) for one in self.encode(prompts)]
        ends = self._ends()
        words = [*stop, *(self.tokenizer.decode([end]) for end in ends)]
        if self._settings.generator == "engine":
            written = self._writing().write(asked, max_tokens, ends, words, temperature, seed)
        else:
            requests = [Request(one, seed + n) for n, one in enumerate(asked)]
            with torch.inference_mode():
                rollouts = TransformersGenerator(self.scorer().model).generate(
                    requests, Sampling(max_tokens, temperature, stop=ends)
                )
            written = [one.tokens.tolist() for one in rollouts]
        return [cut(self.tokenizer.decode(one, skip_special_tokens=True), words) for one in written]

    def chat(self, messages: Sequence[Mapping[str, Any]], template: str = "") -> str:
        """Return a conversation as the text that an answer follows."""
        try:
            if template not in self._chats:
                self._chats[template] = Chat(self.tokenizer, template)
            return self._chats[template].text(turns(list(messages)), answer=True)
        except AlignError as error:
            raise EvaluationError(f"{self.name}: {error}") from None
        except Unfit as unfit:
            raise EvaluationError(f"{self.name} cannot read a conversation: {': '.join(unfit.args)}") from None

    def _ends(self) -> tuple[int, ...]:
        """Return the tokens that end a completion: the generation settings' and the tokenizer's."""
        from transformers import GenerationConfig

        try:
            given = GenerationConfig.from_pretrained(self._found.folder, local_files_only=True).eos_token_id
        except OSError:  # a folder without generation_config.json
            given = read_config(self._found.folder).eos_token_id
        named = given if isinstance(given, list) else [given]
        return tuple(sorted({int(one) for one in (*named, self.tokenizer.eos_token_id) if one is not None}))

    def rewards(self, pairs: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[float]:
        """Raise EvaluationError: a language model rates nothing."""
        raise EvaluationError(f"{self.name} is a language model; this task needs a reward model")


def cut(text: str, stop: Sequence[str]) -> str:
    """Return a text up to the first of the stop strings."""
    return min((text.split(one, 1)[0] for one in stop if one), key=len, default=text)
