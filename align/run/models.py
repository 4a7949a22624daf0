"""The other models of a run, beside the one that is aligned: whether they fit it, before any weights are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.config import Config
from align.data.chat import Chat
from align.errors import AlignSettingsError, ModelError
from align.run.attributes import asked, columns, labels
from align.run.data import RunData
from millrace import storage


@dataclass(frozen=True)
class Other:
    """A model that reads the policy's tokens."""

    setting: str  # that names it
    folder: str
    scores: bool = False  # it is a reward model
    outputs: int = 0  # of a reward model, without regard to names; 0: any number
    distribution: bool = False  # its vocabulary is the policy's, entry by entry


def base_model(start_from: str, setting: str = "model.start_from") -> str:
    """Return the Hugging Face folder of a folder or a run. Raises AlignSettingsError, ModelError where it is none."""
    if not start_from:
        raise AlignSettingsError(f"{setting} is empty; name a Hugging Face folder, or a run that handed one on")
    for folder in (start_from, storage.join(start_from, "hf")):
        if storage.exists(storage.join(folder, "config.json")):
            return folder
    there = ", ".join(storage.list_folder(start_from)) or "nothing"
    raise ModelError(
        f"{setting} {start_from} is no Hugging Face folder and no run with hf/: no config.json; it holds {there}"
    )


def found(config: Config) -> Config:
    """Return a configuration with the Hugging Face folder of every model it names. Raises as `base_model`."""
    model = dataclasses.replace(config.model, start_from=base_model(config.model.start_from))
    named = {
        name: base_model(folder, f"{config.method}.{name}")
        for name in ("reward_model", "critic", "teacher")
        if (folder := getattr(config.settings, name, ""))
    }
    rewards = tuple(_with_folder(one, number) for number, one in enumerate(config.rewards))
    settings = dataclasses.replace(config.settings, **named)
    return dataclasses.replace(config, model=model, rewards=rewards, **{config.method: settings})


def _with_folder(spec: Any, number: int) -> Any:
    given = _reward_model(spec)
    if given is None:
        return spec
    folder = storage.absolute(str(given["start_from"])) if given.get("start_from") else ""
    return {"model": {**given, "start_from": base_model(folder, f"rewards[{number}].model.start_from")}}


def _reward_model(spec: Any) -> Mapping[str, Any] | None:
    """Return the settings of a reward that is a model; None of another."""
    given = spec.get("model", {}) if isinstance(spec, Mapping) and set(spec) == {"model"} else None
    return given if isinstance(given, Mapping) else None


def others(config: Config) -> list[Other]:
    """Return the models of a configuration beside the policy's own. Raises AlignSettingsError where one is missing."""
    given, made = config.settings, list[Other]()
    if config.method == "ppo":
        made += [Other("ppo.reward_model", given.reward_model, True, 1), Other("ppo.critic", given.critic)]
    if config.method == "steerlm" and given.version == 2:
        if not given.reward_model:
            raise AlignSettingsError("steerlm.version 2 needs steerlm.reward_model, a regression reward model's folder")
        made.append(Other("steerlm.reward_model", given.reward_model, True))
    if config.method == "distillation":
        if not given.teacher:
            raise AlignSettingsError("distillation.teacher is empty; name the Hugging Face folder of the teacher")
        made.append(Other("distillation.teacher", given.teacher, distribution=True))
    for number, spec in enumerate(config.rewards):
        if (model := _reward_model(spec)) is not None:
            outputs = 0 if model.get("attributes") else 1
            made.append(Other(f"rewards[{number}].model.start_from", model["start_from"], True, outputs))
    return [one for one in made if one.folder]


def refuse_unfit(config: Config, chat: Chat) -> None:
    """Refuse models that do not understand the policy's tokens, or do not score. Raises ModelError, naming both.

    Refused too are sequences longer than the policy's positions.
    """
    told = _told(config.model.start_from)
    positions = told.get("max_position_embeddings") or told.get("n_positions")
    if positions is not None and config.model.max_length > positions:
        raise ModelError(
            f"model.max_length is {config.model.max_length}; {config.model.start_from} has {positions} positions: set "
            "it to that or less"
        )
    for one in others(config):
        told = storage.read_json(storage.join(one.folder, "config.json"))
        if one.scores:
            _refuse_unscoring(one, told)
        _refuse_other_tokens(one, config, chat)


def refuse_unmeasured(config: Config, data: RunData) -> None:
    """Refuse attributes that no record has, or that SteerLM 2's reward model does not measure. Raises as `asked`."""
    if config.method == "steerlm" and config.settings.version == 2:
        model = config.settings.reward_model
        columns(model, asked(config.settings.attributes, model, data.everything), "steerlm.reward_model")


def _refuse_unscoring(one: Other, told: Mapping[str, Any]) -> None:
    kind = ", ".join(told.get("architectures") or ()) or "nothing"
    if not kind.endswith("ForSequenceClassification"):
        raise ModelError(f"{one.setting} {one.folder} is {kind}: a reward model is a ...ForSequenceClassification")
    outputs = len(labels(one.folder))
    if one.outputs and outputs != one.outputs:
        raise ModelError(
            f"{one.setting} {one.folder} gives {outputs} scores, {one.outputs} expected: "
            "a reward model of several attributes is weighed by rewards: [{model: {attributes: {name: weight}}}]"
        )


def _refuse_other_tokens(one: Other, config: Config, chat: Chat) -> None:
    """Compare vocabularies: what a model reads are the policy's token ids."""
    from transformers import AutoTokenizer

    own = chat.tokenizer.get_vocab()
    if storage.exists(storage.join(one.folder, "tokenizer_config.json")):
        their = AutoTokenizer.from_pretrained(one.folder, local_files_only=True).get_vocab()
        if differ := sorted((own.items() ^ their.items()), key=lambda item: (item[1], item[0])):
            token, number = differ[0]
            raise ModelError(
                f"{one.setting} {one.folder} has another tokenizer than {config.model.start_from}: {len(their):,} "
                f"tokens, the policy's has {len(own):,}; the first that differs is {number}, {token!r}"
            )
    theirs, mine = vocabulary(one.folder), vocabulary(config.model.start_from)
    if theirs < mine if not one.distribution else theirs != mine:
        raise ModelError(
            f"{one.setting} {one.folder} has a vocabulary of {theirs:,}; that of {config.model.start_from} is {mine:,}"
        )


def vocabulary(folder: str) -> int:
    """Return how many tokens a model has weights for."""
    return int(_told(folder)["vocab_size"])


def _told(folder: str) -> dict[str, Any]:
    """Return what config.json says of the language model in it."""
    told = storage.read_json(storage.join(folder, "config.json"))
    return dict(told.get("text_config") or told)
