"""From what a user names to the tensors of a model: the one door of every export.

RUN                            its hf/, else its newest checkpoint
RUN/checkpoints/step-00000100  that checkpoint
RUN/hf, any FOLDER             a Hugging Face folder
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from millrace import storage
from millrace.config import build
from millrace.errors import StorageError
from pretrain.errors import CheckpointError, ShardError, WeightsError
from pretrain.hf.config import ARCHITECTURES
from pretrain.hf.weights import Tokenizer
from pretrain.report.gather import KIND as PRETRAIN
from pretrain.report.gather import kind_of
from pretrain.run.checkpoints import NAME, Folder, damage
from serve.errors import ExportError, ModelFolderError
from serve.export.folder import SCORES, FolderSource, copy_rest, write_generation
from serve.export.source import Source
from serve.model import EXPORTED, read_config, weights_folder

CHECKPOINTS = "checkpoints"
ACTOR = "actor"  # the policy that an alignment run is about, in its checkpoints


def open_source(named: str) -> Source:
    """Open a run, a checkpoint of a run, or a Hugging Face folder as a source of exports; reads headers.

    A checkpoint is read once and its hashes compared. Raises ModelFolderError where it is no model, or one that is
    not whole; ExportError for a quantised model.
    """
    if not storage.exists(named):
        raise ModelFolderError(
            f"{named} does not exist; a model is a run, a checkpoint of one, or a Hugging Face folder"
        )
    place = storage.absolute(named).rstrip("/")
    try:
        return _opened(named, place)
    except (WeightsError, CheckpointError, ShardError, StorageError) as error:
        raise ModelFolderError(str(error)) from None


def _opened(named: str, place: str) -> Source:
    there, folder = storage.list_folder(place), weights_folder(place)
    if folder is not None:
        run = folder.removesuffix("/" + EXPORTED)
        return FolderSource(named, folder, run if run != folder and kind_of(run) else "")
    run, path = _checkpoint(named, place, there)
    if wrong := damage(path):
        raise CheckpointError(f"{path} is not whole: {wrong[0]}")
    settings = storage.read_json(storage.join(run, "run.json"))["config"]
    if kind_of(run) == PRETRAIN:
        return _pretrained(named, run, str(path), settings)
    return _aligned(named, run, path, settings)


def _checkpoint(named: str, place: str, there: list[str]) -> tuple[str, Path]:
    """Return the run and the checkpoint that are named. Raises ModelFolderError where there is none."""
    name = place.rpartition("/")[2]
    if NAME.fullmatch(name):
        run, path = place.rpartition("/")[0].rpartition("/")[0], Path(place)
    else:
        run = place.removesuffix("/" + CHECKPOINTS)
        steps = Folder.of(storage.join(run, CHECKPOINTS)).steps() if kind_of(run) else []
        if not steps:
            holds = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "") if there else "nothing"
            raise ModelFolderError(
                f"{named} is no model: it has no config.json, no {EXPORTED}/ and no checkpoints; it holds {holds}"
            )
        path = Folder.of(storage.join(run, CHECKPOINTS)).at(steps[-1])
    if kind_of(run) not in (PRETRAIN, "align"):
        raise ModelFolderError(f"{named} is of no run: {run}/run.json, which would describe its model, is not there")
    return run, path


def _pretrained(named: str, run: str, path: str, settings: Mapping[str, Any]) -> Source:
    from pretrain.config import Config
    from pretrain.hf.config import config_json
    from pretrain.hf.dist_checkpoint import DistCheckpoint
    from pretrain.hf.weights import write_tokenizer
    from serve.export.checkpoint import CheckpointSource

    config = build(Config, settings)
    model, tokenizer = config.model, _tokenizer(config)
    if model is None or model.vocab_size is None or model.positions is None:
        raise ModelFolderError(f"{run}/run.json does not describe a model whole")
    told = config_json(model, DistCheckpoint(path).dtype(), tokenizer.end_of_document if tokenizer else None)

    def rest(folder: str) -> None:
        if tokenizer is not None:
            write_tokenizer(folder, tokenizer, model)
        write_generation(folder, told)

    return CheckpointSource(named, run, path, model, told, rest)


def _tokenizer(config: Any) -> Tokenizer | None:
    """Return the shards' tokenizer; None where no set says it, as in bare .bin files. Raises ShardError."""
    from pretrain.data.corpus import sets_and_weights
    from pretrain.data.shards import open_sets

    names, _ = sets_and_weights(config.data.shards)
    for one in open_sets(names, config.model.vocab_size):
        if one.manifest and one.tokenizer:
            return Tokenizer(storage.read_bytes(one.tokenizer), int(one.manifest["end_of_document"]))
    return None


def _aligned(named: str, run: str, path: Path, settings: Mapping[str, Any]) -> Source:
    from pretrain.hf.dist_checkpoint import DistCheckpoint
    from pretrain.hf.tables import OUTPUT
    from serve.export.checkpoint import ADAPTERS, AdaptedSource, CheckpointSource, model_of

    actor, model = path / ACTOR, settings["model"]
    base, peft = str(model["start_from"]), model["peft"]
    if not (actor / ".metadata").exists():
        raise ExportError(
            f"{path} was written by the backend hf: it holds the ranks' training states, no whole tensors; the same "
            f"`millrace align` goes on from it, and hands on {run}/{EXPORTED} at the run's end"
        )
    saved = DistCheckpoint(str(actor))
    outputs = saved.adapters(OUTPUT)[OUTPUT][0] if settings["method"] == "reward_model" else 0
    shape, told = model_of(base), _scoring(read_config(base), outputs)
    rest = _rest_of(base, str(model["tokenizer"]), told)
    if not saved.adapters(ADAPTERS):
        return CheckpointSource(named, run, str(actor), shape, told, rest, outputs)
    dtype = "float32" if model["precision"] == "fp32" else "bfloat16"
    scale = peft["alpha"] / peft["rank"]
    return AdaptedSource(named, run, str(actor), base, shape, told, rest, scale, dtype, outputs)


def _scoring(told: dict[str, Any], outputs: int) -> dict[str, Any]:
    """Return a base's config.json with a head of so many scores; as it is for a language model."""
    if not outputs:
        return told
    given = (told.get("architectures") or [ARCHITECTURES[str(told["model_type"])]])[0]
    kind = str(given).replace("ForCausalLM", SCORES).replace("LMHeadModel", SCORES)
    names = told.get("id2label") or {}
    labels = {str(n): names.get(str(n), f"LABEL_{n}") for n in range(outputs)}
    pad = told.get("pad_token_id")
    end = told.get("eos_token_id")
    return told | {
        "architectures": [kind], "id2label": labels, "label2id": {label: int(n) for n, label in labels.items()},
        "pad_token_id": (end[0] if isinstance(end, list) else end) if pad is None else pad,
    }  # fmt: skip


def _rest_of(base: str, tokenizer: str, told: Mapping[str, Any]) -> Callable[[str], None]:
    """Return what copies a base's files, with those of the folder that the tokenizer was taken from over them."""

    def rest(folder: str) -> None:
        for source in dict.fromkeys((base, tokenizer or base)):
            copy_rest(source, folder)
        write_generation(folder, told)

    return rest
