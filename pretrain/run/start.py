"""From a configuration to ranks at work: what is checked, chosen and written down before the first process starts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from millrace import __version__, storage
from millrace.progress import Progress
from pretrain.config import Config
from pretrain.data.corpus import Corpus, sets_and_weights
from pretrain.data.ngrams import baselines
from pretrain.errors import SettingsError, ShardError, TrainingError
from pretrain.hf.config import family_of, read_config
from pretrain.machine import Machine
from pretrain.plan import completed, plan
from pretrain.planned import Plan
from pretrain.report.gather import KIND, kind_of
from pretrain.run.environment import versions


@dataclass(frozen=True)
class Prepared:
    """A plan, whose configuration is finished, and the data it is for."""

    plan: Plan
    corpus: Corpus

    @property
    def config(self) -> Config:
        return self.plan.config

    def describe(self) -> str:
        """Return the plan and the data in words."""
        training = self.config.training
        return "\n".join([self.plan.describe(), *self.corpus.describe(training.steps, training.global_batch)])


def prepare(config: Config, machine: Machine) -> Prepared:
    """Complete a configuration for a machine and its shards. Raises SettingsError, ShardError, WeightsError.

    Reads the indexes of the shards and the ids of their documents, no token and no weight.
    """
    config, sha = _with_model(config)
    assert config.model is not None
    corpus = Corpus(config.data, config.model.vocab_size, sha)
    if config.training.export:
        family_of(config.model)  # now, not when the run has ended
    return Prepared(plan(completed(config, corpus.vocab_size, corpus.seq_length), machine), corpus)


def _with_model(config: Config) -> tuple[Config, str | None]:
    """Return the configuration with the model of the folder it starts from, and that folder's tokenizer's SHA-256."""
    start = config.training.start_from
    if not start:
        if config.model is None:
            raise SettingsError("no model: give a model section, or training.start_from, a Hugging Face folder")
        return config, None
    if config.model is not None:
        raise SettingsError("both a model section and training.start_from: the folder's model is the one to train")
    tokenizer = storage.join(start, "tokenizer.json")
    sha = hashlib.sha256(storage.read_bytes(tokenizer)).hexdigest() if storage.exists(tokenizer) else None
    return dataclasses.replace(config, model=read_config(start)), sha


def write(prepared: Prepared, folder: str) -> None:
    """Write FOLDER/run.json, by which ranks know what to do. Raises TrainingError where another run is there."""
    if storage.exists(storage.join(folder, "run.json")) and kind_of(folder) != KIND:
        raise TrainingError(f"{folder} holds a run of the curator; give training another --output")
    simple = baselines(prepared.corpus)
    storage.write_json(
        storage.join(folder, "run.json"),
        {
            "kind": KIND,
            "millrace": __version__,
            "config": _anywhere(prepared.config).as_dict(),
            "environment": versions(),
            "baselines": {"unigram_entropy": simple.unigram, "bigram_cross_entropy": simple.bigram} if simple else {},
            "data": prepared.corpus.describe(prepared.config.training.steps, prepared.config.training.global_batch),
        },
    )


def _anywhere(config: Config) -> Config:
    """Return the configuration with absolute paths: ranks started elsewhere have other working directories."""
    names, weights = sets_and_weights(config.data.shards)
    places = tuple(storage.absolute(name) for name in names)
    clusters, folder = config.data.clusters, config.training.start_from
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            shards=dict(zip(places, weights, strict=True)) if weights else places,
            clusters=clusters and storage.absolute(clusters),
        ),
        training=dataclasses.replace(config.training, start_from=folder and storage.absolute(folder)),
    )


def start(prepared: Prepared, folder: str, max_restarts: int, debug: bool, progress: Progress) -> int:
    """Write the run's folder and train it on this machine's ranks; return 0 when it is done, or stopped and saved.

    Raises TrainingError where another process trains it.
    """
    from pretrain.run.launch import launch

    folder = storage.absolute(folder)
    with held(folder):
        write(prepared, folder)
        ranks = prepared.config.parallel.ranks
        assert ranks is not None
        return launch(folder, ranks, max_restarts, debug=debug, progress=progress)


@contextmanager
def held(folder: str) -> Iterator[None]:
    """Hold a run folder. Raises TrainingError where another process trains it, ShardError where it is no local one."""
    if not storage.is_local(folder):
        raise ShardError(f"{folder} is no path on this machine; a training run needs a local or network file system")
    try:
        with storage.lock(storage.join(folder, "lock"), "a training run"):
            yield
    except BlockingIOError as error:
        raise TrainingError(f"{folder} is in use: {error}") from None
