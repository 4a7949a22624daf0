"""From a configuration to ranks at work: what is checked, chosen and written down before the first process starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from align.config import Config
from align.errors import ModelError
from align.run.worker import COMMAND
from millrace import __version__, storage
from millrace.progress import Progress
from pretrain.errors import TrainingError
from pretrain.machine import Machine
from pretrain.run.environment import versions

if TYPE_CHECKING:
    from align.data.chat import Chat

KIND = "align"  # in run.json


@dataclass(frozen=True)
class Prepared:
    """A finished configuration, what must be the same to go on, and the words for both."""

    config: Config
    about: dict[str, Any]
    lines: tuple[str, ...]

    def describe(self) -> str:
        """Return what would run, in words."""
        return "\n".join(self.lines)


def prepare(config: Config, machine: Machine, cache: str = "") -> Prepared:
    """Complete a configuration for a machine, its model and its data; read all records, no weights.

    cache: a folder in which the data's tokens are kept for the ranks. Raises AlignSettingsError, ModelError, DataError.
    """
    from align.backends.choose import choose, count
    from align.backends.fingerprint import fingerprint
    from align.run import models
    from align.run.check import check, check_data
    from align.run.data import RunData

    config = models.found(_anywhere(config))
    parameters = count(config.model.start_from)
    backend, why = choose(config, machine, parameters)
    model = dataclasses.replace(config.model, backend=backend)
    config = dataclasses.replace(config, model=model, parallel=_ranks(config, machine))
    check(config)
    chat = open_chat(config)
    models.refuse_unfit(config, chat)
    data = RunData(config, chat, cache)
    check_data(config, data)
    models.refuse_unmeasured(config, data)
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=data.steps))
    others = {one.setting: f"{one.folder} ({fingerprint(one.folder)})" for one in models.others(config)}
    about = {
        "method": config.method,
        "base model": f"{model.start_from} ({fingerprint(model.start_from)})",
        "peft": dataclasses.asdict(model.peft) if model.peft else None,
        "backend": backend,
        "data": data.loaded.fingerprint,
        "global_batch": config.training.global_batch,
        "seed": config.training.seed,
        "other models": others,
    }
    return Prepared(config, about, (*_told(config, parameters, why, machine, others), *data.describe()))


def _told(config: Config, parameters: int, why: str, machine: Machine, others: Mapping[str, str]) -> list[str]:
    """Return what would run, in lines."""
    from align.rollout.placement import describe, roles

    model, training, ranks = config.model, config.training, config.parallel.ranks
    assert ranks is not None
    peft = f", {model.peft.kind}" if model.peft else ""
    return [
        f"method     {config.method}",
        f"model      {model.start_from}, {parameters / 1e6:,.2f} M parameters{peft}",
        *(f"and        {setting} {folder}" for setting, folder in others.items()),
        why.replace("backend", "backend   ", 1),
        f"machine    {machine}; {ranks} rank{'' if ranks == 1 else 's'}",
        *(f"placement  {line}" for line in describe(roles(config.placement, ranks), ranks)),
        f"steps      {training.steps:,} of {training.global_batch} examples, {training.micro_tokens:,} tokens a pass",
    ]


def open_chat(config: Config) -> Chat:
    """Load the tokenizer, with the chat template the configuration names. Raises ModelError, DataError."""
    from transformers import AutoTokenizer

    from align.data.chat import Chat

    folder = config.model.tokenizer or config.model.start_from
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} holds no tokenizer: {' '.join(str(error).split())[:200]}") from None
    return Chat(tokenizer, config.model.template)


def _ranks(config: Config, machine: Machine) -> Any:
    parallel = config.parallel
    ranks = parallel.ranks or (machine.devices if machine.kind == "gpu" else 1)
    return dataclasses.replace(parallel, ranks=ranks)


def _anywhere(config: Config) -> Config:
    """Return the configuration with absolute paths: ranks have other working directories."""
    from align.data.template import is_file

    def absolute(value: Any) -> Any:
        if isinstance(value, str):
            return storage.absolute(value) if value else value
        return tuple(absolute(one) for one in value)

    model, data = config.model, config.data
    template = absolute(model.template) if is_file(model.template) else model.template
    settings = {
        field.name: absolute(getattr(config.settings, field.name))
        for field in dataclasses.fields(config.settings)
        if field.name in ("reward_model", "critic", "teacher", "constitution")
    }
    return dataclasses.replace(
        config,
        model=dataclasses.replace(
            model, start_from=absolute(model.start_from), tokenizer=absolute(model.tokenizer), template=template
        ),
        data=dataclasses.replace(data, path=absolute(data.path), validation=absolute(data.validation)),
        **{config.method: dataclasses.replace(config.settings, **settings)},
    )


def about(folder: str) -> dict[str, Any]:
    """Return what run.json says must be the same to go on."""
    return dict(storage.read_json(storage.join(folder, "run.json"))["about"])


def write(prepared: Prepared, folder: str) -> None:
    """Write FOLDER/run.json, by which ranks know what to do.

    Raises TrainingError for a folder of another kind, CheckpointError for one with checkpoints of another run.
    """
    place = storage.join(folder, "run.json")
    if storage.exists(place) and storage.read_json(place).get("kind") != KIND:
        raise TrainingError(f"{folder} holds a run of another kind; give alignment another --output")
    refuse_other(folder, prepared.about)
    storage.write_json(
        place,
        {
            "kind": KIND,
            "millrace": __version__,
            "config": prepared.config.as_dict(),
            "about": prepared.about,
            "environment": versions(),
            "data": list(prepared.lines),
        },
    )


def refuse_other(folder: str, about: Mapping[str, Any]) -> None:
    """Raise CheckpointError where the newest checkpoint of a folder is of another run."""
    from align.run.checkpoints import FOLDER, refuse
    from pretrain.run.checkpoints import MANIFEST, Folder

    place = Folder.of(storage.join(folder, FOLDER))
    written = [step for step in place.steps() if (place.at(step) / MANIFEST).exists()]
    for step in written[-1:]:
        refuse(place.at(step), about)


def start(prepared: Prepared, folder: str, max_restarts: int, debug: bool, progress: Progress) -> int:
    """Write the run's folder and run it on this machine's ranks; return 0 when it is done, or stopped and saved."""
    from pretrain.run.launch import launch
    from pretrain.run.start import held

    folder = storage.absolute(folder)
    with held(folder):
        write(prepared, folder)
        ranks = prepared.config.parallel.ranks
        assert ranks is not None
        return launch(folder, ranks, max_restarts, debug=debug, progress=progress, command=COMMAND)
