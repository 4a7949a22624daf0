"""From a configuration to ranks at work: what is checked, chosen and written down before the first process starts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from align.config import Config
from align.errors import AlignSettingsError, ModelError
from align.run.worker import COMMAND
from millrace import __version__, storage
from millrace.progress import Progress
from pretrain.errors import TrainingError
from pretrain.machine import Machine
from pretrain.run.environment import versions

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


def prepare(config: Config, machine: Machine) -> Prepared:
    """Complete a configuration for a machine, its model and its data; read all records, no weights.

    Raises AlignSettingsError, ModelError, DataError.
    """
    from align.backends.choose import choose
    from align.backends.identity import identity, parameters
    from align.methods import check
    from align.run.data import Open

    config = _anywhere(config)
    model = dataclasses.replace(config.model, start_from=base_model(config.model.start_from))
    config = dataclasses.replace(config, model=model)
    count = parameters(model.start_from)
    backend, why = choose(config, machine, count)
    config = dataclasses.replace(config, model=dataclasses.replace(model, backend=backend), parallel=_ranks(config, machine))
    check(config)
    data = Open(config, open_tokenizer(config))
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, steps=data.steps))
    about = {
        "method": config.method,
        "base model": f"{model.start_from} ({identity(model.start_from)})",
        "peft": dataclasses.asdict(model.peft) if model.peft else None,
        "backend": backend,
        "data": data.fingerprint,
        "global_batch": config.training.global_batch,
        "seed": config.training.seed,
    }
    training = config.training
    lines = (
        f"method     {config.method}",
        f"model      {model.start_from}, {count / 1e6:,.1f} M parameters" + (f", {model.peft.kind}" if model.peft else ""),
        f"backend    {backend}: {why}",
        f"machine    {machine}; {config.parallel.ranks} ranks",
        *data.describe(),
        f"steps      {training.steps:,} of {training.global_batch} examples, {training.micro_tokens:,} tokens a pass",
    )
    return Prepared(config, about, lines)


def base_model(start_from: str) -> str:
    """Return the Hugging Face folder of a folder or a run. Raises ModelError where there is none."""
    if not start_from:
        raise AlignSettingsError("model.start_from is empty; name a Hugging Face folder, or a run that handed one on")
    for folder in (start_from, storage.join(start_from, "hf")):
        if storage.exists(storage.join(folder, "config.json")):
            return folder
    there = ", ".join(storage.list_folder(start_from)) or "nothing"
    raise ModelError(f"{start_from} is no Hugging Face folder and no run with hf/: no config.json; it holds {there}")


def open_tokenizer(config: Config) -> Any:
    """Load the tokenizer, with the chat template the configuration names."""
    from align.data.tokenizer import load_tokenizer

    return load_tokenizer(config.model.tokenizer or config.model.start_from, config.model.template)


def _ranks(config: Config, machine: Machine) -> Any:
    parallel = config.parallel
    ranks = parallel.ranks or (machine.devices if machine.kind == "gpu" else 1)
    return dataclasses.replace(parallel, ranks=ranks)


def _anywhere(config: Config) -> Config:
    """Return the configuration with absolute paths: ranks have other working directories."""

    def absolute(value: Any) -> Any:
        if isinstance(value, str):
            return storage.absolute(value) if value else value
        return tuple(absolute(one) for one in value)

    model, data = config.model, config.data
    settings = {
        field.name: absolute(getattr(config.settings, field.name))
        for field in dataclasses.fields(config.settings)
        if field.name in ("reward_model", "critic", "teacher", "constitution")
    }
    return dataclasses.replace(
        config,
        model=dataclasses.replace(model, start_from=absolute(model.start_from), tokenizer=absolute(model.tokenizer)),
        data=dataclasses.replace(data, path=absolute(data.path), validation=absolute(data.validation)),
        **{config.method: dataclasses.replace(config.settings, **settings)},
    )


def about(folder: str) -> dict[str, Any]:
    """Return what run.json says must be the same to go on."""
    return dict(storage.read_json(storage.join(folder, "run.json"))["about"])


def write(prepared: Prepared, folder: str) -> None:
    """Write FOLDER/run.json, by which ranks know what to do. Raises TrainingError where a run of another kind is there."""
    place = storage.join(folder, "run.json")
    if storage.exists(place) and storage.read_json(place).get("kind") != KIND:
        raise TrainingError(f"{folder} holds a run of another kind; give alignment another --output")
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
