"""A language model of transformers, in this process, as a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from align.backends.hf.model import open_model, read_config
from align.backends.settings import PolicySettings
from align.data.chat import Chat
from align.data.record import Unfit
from align.data.turns import turns
from align.errors import AlignError
from align.rollout.generator import Request, Sampling
from align.rollout.transformers import TransformersGenerator
from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate.local.network import Scorer
from serve.evaluate.local.settings import DTypeName
from serve.evaluate.task import Pair, Score
from serve.model import ModelFolder

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Language:
    """A causal language model and its tokenizer."""

    kind: Literal["language", "reward"] = "language"

    def __init__(self, model: Any, tokenizer: Any, name: str, tokens: int = 0):
        """model: of transformers, on its device. tokens: of a forward pass; 0: what suits the device."""
        self.name, self.tokenizer, self._model = name, tokenizer, model.eval()
        self._scorer = Scorer(model, tokens)
        config = model.config.get_text_config(decoder=True)
        self.positions = int(getattr(config, "n_positions", None) or config.max_position_embeddings)
        self.vocabulary = int(config.vocab_size)
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if begin is None:
            raise ModelFolderError(
                f"the tokenizer of {name} has neither a begin nor an end token; a text needs one before it"
            )
        self.prefix = int(begin)
        self._begin = str(tokenizer.decode([begin]))
        self._chats: dict[str, Chat] = {}  # by template

    @classmethod
    def load(cls, found: ModelFolder, dtype: DTypeName = "auto", device: str = "cpu", tokens: int = 0) -> Language:
        """Open a model's folder; dtype auto: as the weights lie. Raises ModelFolderError in one line."""
        from transformers import AutoTokenizer

        if found.kind != "language":
            raise ModelFolderError(
                f"{found.folder} is a reward model: language tasks need a model that predicts tokens"
            )
        if found.quantization == "modelopt":
            raise ModelFolderError(
                f"{found.folder} is quantised by modelopt, whose scales transformers ignores: name what it was made of"
            )
        try:
            config = read_config(found.folder)
            kind = DTYPES[dtype] if dtype != "auto" else getattr(config, "dtype", None) or torch.float32
            there = torch.device(device)
            model = open_model(PolicySettings(start_from=found.folder), kind, there, weights=True).to(there)
            tokenizer = AutoTokenizer.from_pretrained(found.folder, local_files_only=True)
        except AlignError as error:
            raise ModelFolderError(str(error)) from None
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"{found.folder} has no tokenizer: {str(error).splitlines()[0]}") from None
        except RuntimeError as error:
            raise ModelFolderError(f"device {device}: {str(error).splitlines()[0]}") from None
        return cls(model, tokenizer, found.name, tokens)

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
        found = self._scorer.score(whole, [len(rest) for _, rest in pairs])
        return [(float(logprobs.sum()), bool(best.all())) for logprobs, best in found]

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return float32 (length - 1,) of each sequence. Raises EvaluationError for one that is too long or short."""
        for number, one in enumerate(sequences):
            if not 2 <= len(one) <= self.positions + 1:
                raise EvaluationError(
                    f"sequence {number} has {len(one)} tokens; {self.name} takes from 2 to {self.positions + 1}"
                )
        arrays = [np.array(one, np.int64) for one in sequences]
        return [logprobs for logprobs, _ in self._scorer.score(arrays, [len(one) - 1 for one in sequences])]

    def complete(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str], temperature: float = 0.0,
                 seed: int = 0) -> list[str]:  # fmt: skip
        """Return a completion of each prompt; completion n is drawn with seed + n."""
        room = self.positions - max_tokens
        if room < 1:
            raise EvaluationError(f"max_tokens is {max_tokens}; {self.name} has {self.positions} positions")
        requests = [Request(np.array(one[-room:], np.int64), seed + n) for n, one in enumerate(self.encode(prompts))]
        ends = self._ends()
        sampling = Sampling(max_tokens, temperature, stop=ends)
        with torch.inference_mode():
            rollouts = TransformersGenerator(self._model).generate(requests, sampling)
        words = [*stop, *(self.tokenizer.decode([end]) for end in ends)]
        return [cut(self.tokenizer.decode(one.tokens, skip_special_tokens=True), words) for one in rollouts]

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
        given = getattr(self._model.generation_config, "eos_token_id", None)
        named = given if isinstance(given, list) else [given]
        return tuple(sorted({int(one) for one in (*named, self.tokenizer.eos_token_id) if one is not None}))

    def rewards(self, pairs: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[float]:
        """Raise EvaluationError: a language model rates nothing."""
        raise EvaluationError(f"{self.name} is a language model; this task needs a reward model")


def cut(text: str, stop: Sequence[str]) -> str:
    """Return a text up to the first of the stop strings."""
    return min((text.split(one, 1)[0] for one in stop if one), key=len, default=text)
