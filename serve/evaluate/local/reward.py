"""A reward model of transformers, in this process, as a subject."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from align.backends.hf.model import read_config
from align.backends.hf.network import Network
from align.data.chat import Chat
from align.data.record import Message, Unfit
from align.data.turns import turns
from align.errors import AlignError
from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate.local.opening import DTYPES, check_weights
from serve.evaluate.local.settings import DTypeName
from serve.evaluate.task import Pair, Score
from serve.model import ModelFolder
from serve.tokenizer import open_tokenizer

BATCH_TOKENS = 4096  # of a forward pass, padding counted; ours


class Reward:
    """A model of one score a conversation, its tokenizer and its template."""

    kind: Literal["language", "reward"] = "reward"

    def __init__(self, model: Any, tokenizer: Any, name: str):
        """model: of transformers, for sequence classification. Raises ModelFolderError where it has no template."""
        self.name, self._model = name, model.eval()
        try:
            self._chat, self._scorer = Chat(tokenizer), Network(model, "reward").scorer
        except AlignError as error:
            raise ModelFolderError(f"{name}: {error}") from None
        config = model.config.get_text_config(decoder=True)
        self.positions = int(getattr(config, "n_positions", None) or config.max_position_embeddings)
        self.prefix = int(tokenizer.bos_token_id or tokenizer.eos_token_id or 0)

    @classmethod
    def load(cls, found: ModelFolder, dtype: DTypeName = "auto", device: str = "cpu") -> Reward:
        """Open a model's folder; dtype auto: as the weights lie. Raises ModelFolderError in one line."""
        from transformers import AutoModelForSequenceClassification, logging

        if found.quantization == "modelopt":
            raise ModelFolderError(
                f"{found.folder} is quantised by modelopt, whose scales transformers ignores: name what it was made of"
            )
        if found.kind != "reward":
            raise ModelFolderError(f"{found.folder} is a language model; a reward model is expected")
        logging.disable_progress_bar()
        check_weights(found, _outputs(found))
        tokenizer = open_tokenizer(found.folder)
        try:
            kind: Any = DTYPES[dtype] if dtype != "auto" else "auto"
            model, told = AutoModelForSequenceClassification.from_pretrained(
                found.folder, dtype=kind, local_files_only=True, output_loading_info=True
            )
            model = model.to(torch.device(device))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelFolderError(f"{found.folder} cannot be opened: {str(error).splitlines()[0]}") from None
        for what, said in (("missing_keys", "lacks"), ("unexpected_keys", "has, beside those of its model,")):
            if names := sorted(told[what]):
                raise ModelFolderError(f"{found.folder} {said} {len(names)} tensors, the first is {names[0]}")
        if model.config.num_labels != 1:
            raise ModelFolderError(
                f"{found.folder} gives {model.config.num_labels} scores "
                f"({', '.join(model.config.id2label.values())}); a model of one score is expected"
            )
        return cls(model, tokenizer, found.name)

    def rewards(self, pairs: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[float]:
        """Return the score of each (messages, answer): what the model says of the last token, which ends the answer.

        Tokens are those that alignment trains on. A conversation that is too long loses its first tokens. Cost: the
        forward pass, of texts of similar length together.
        """
        tokens = [self._tokens(number, *pair) for number, pair in enumerate(pairs)]
        scores = [0.0] * len(tokens)
        with torch.inference_mode():
            for batch in batches([len(one) for one in tokens], BATCH_TOKENS):
                for place, value in zip(batch, self._scored([tokens[n] for n in batch])):
                    scores[place] = value
        for number, value in enumerate(scores):
            if not math.isfinite(value):
                raise EvaluationError(
                    f"conversation {number}: {self.name} gives a score of {value}, which is no number"
                )
        return scores

    def _tokens(self, number: int, messages: Sequence[Mapping[str, Any]], answer: str) -> np.ndarray:
        try:
            made = self._chat.masked((*turns(list(messages)), Message("assistant", answer)), "last")
        except Unfit as unfit:
            raise EvaluationError(f"{self.name} cannot read conversation {number}: {' '.join(unfit.args)}") from None
        end = int(np.flatnonzero(made.mask)[-1]) + 1
        return made.tokens[max(end - self.positions, 0) : end]

    def _scored(self, tokens: Sequence[np.ndarray]) -> list[float]:
        device = next(self._model.parameters()).device
        lengths = torch.tensor([len(one) for one in tokens], device=device)
        padded = torch.zeros((len(tokens), int(lengths.max())), dtype=torch.int64)
        for row, one in zip(padded, tokens):
            row[: len(one)] = torch.from_numpy(one)
        mask = torch.arange(padded.shape[1], device=device)[None] < lengths[:, None]
        hidden = self._model.base_model(input_ids=padded.to(device), attention_mask=mask.long(), use_cache=False)[0]
        last = hidden[torch.arange(len(tokens), device=device), lengths - 1]
        found: list[float] = self._scorer(last).float()[:, 0].tolist()
        return found

    def encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        """Return the tokens of texts."""
        made: list[list[int]] = self._chat.tokenizer(list(texts), add_special_tokens=special)["input_ids"]
        return made

    def chat(self, messages: Sequence[Mapping[str, Any]], template: str = "") -> str:
        """Raise EvaluationError: a reward model answers nothing."""
        raise self._no_language()

    def loglikelihoods(self, pairs: Sequence[Pair]) -> list[Score]:
        """Raise EvaluationError: a reward model predicts nothing."""
        raise self._no_language()

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Raise EvaluationError: a reward model predicts nothing."""
        raise self._no_language()

    def complete(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str], temperature: float = 0.0,
                 seed: int = 0) -> list[str]:  # fmt: skip
        """Raise EvaluationError: a reward model writes nothing."""
        raise self._no_language()

    def _no_language(self) -> EvaluationError:
        return EvaluationError(f"{self.name} is a reward model; this task needs a language model")


def _outputs(found: ModelFolder) -> int:
    """Return how many scores config.json says there are. Raises ModelFolderError where it says nothing readable."""
    try:
        return int(read_config(found.folder).num_labels)
    except AlignError as error:
        raise ModelFolderError(str(error)) from None


def batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return places of sequences that go together, the longest first: at most `most` tokens with padding, or one."""
    made: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if made and (len(made[-1]) + 1) * lengths[made[-1][0]] <= most:
            made[-1].append(place)
        else:
            made.append([place])
    return made
