"""What a Hugging Face policy goes on from: a file a rank, and a description that refuses what does not fit.

hf.json        what was trained: base model, ranks, head, shapes of the trained parameters of the first rank
hf-RRR.pt      of rank RRR: trained weights in float32, AdamW's moments, schedule, random numbers
"""

from __future__ import annotations

import io
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from millrace import storage
from millrace.errors import StorageError
from pretrain.errors import CheckpointError

if TYPE_CHECKING:
    from align.backends.hf.policy import HuggingFacePolicy

DESCRIPTION = "hf.json"


def save(policy: HuggingFacePolicy, folder: str) -> None:
    """Write this rank's file, and on the first rank the description; whole or not at all.

    Raises OSError, StorageError on the rank whose disk is full, after all have tried: the others do not wait for it.
    """
    trainer = policy.trainer
    state = {
        "version": policy.version,
        "training": trainer.state() if trainer is not None else None,
        "random": _random(),
    }
    try:
        with storage.writing(storage.join(folder, _file(policy))) as stream:
            torch.save(state, stream)
        if policy.ranks.rank == 0:
            storage.write_json(storage.join(folder, DESCRIPTION), describe(policy))
    except RuntimeError as error:
        raise _beneath(error) from None
    finally:
        policy.ranks.wait()


def _beneath(error: BaseException) -> BaseException:
    """Return the system's error that torch's writer covers with its own; else that itself."""
    below: BaseException | None = error
    while below is not None and not isinstance(below, OSError):
        below = below.__context__
    return below or error


def load(policy: HuggingFacePolicy, folder: str) -> None:
    """Take up a saved state. Raises CheckpointError where it is of another model, and names both."""
    try:
        given: dict[str, Any] = storage.read_json(storage.join(folder, DESCRIPTION))
        content = (
            storage.read_bytes(storage.join(folder, _file(policy))) if given["ranks"] == policy.ranks.size else b""
        )
    except StorageError as error:
        raise CheckpointError(f"{folder} holds no state of a Hugging Face policy: {error}") from None
    here = describe(policy)
    for name, what in (("ranks", "ranks"), ("head", "head"), ("peft", "adapters"), ("base", "base model")):
        if given[name] != here[name]:
            raise CheckpointError(
                f"{folder} was saved with {what} {_told(given, name)}; this run has {_told(here, name)}"
            )
    for name in sorted({*given["shapes"], *here["shapes"]}):
        a, b = given["shapes"].get(name, "none"), here["shapes"].get(name, "none")
        if a != b:
            raise CheckpointError(f"{folder}: {name} was saved with shape {a}; this run's has {b}")
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, UnpicklingError):
        raise CheckpointError(f"{storage.join(folder, _file(policy))} is damaged: it cannot be read") from None
    policy.version = int(state["version"])
    if policy.trainer is not None:
        policy.trainer.load(state["training"])
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"]:
        torch.cuda.set_rng_state(state["random"]["cuda"])


def describe(policy: HuggingFacePolicy) -> dict[str, Any]:
    """Return what two runs must share for one to go on from the other."""
    peft = policy.settings.model.peft
    parameters = policy.trainer.parameters if policy.trainer is not None else {}
    return {
        "ranks": policy.ranks.size, "head": policy.head, "peft": peft.kind if peft else "none",
        "base": policy.base, "folder": policy.settings.start_from,
        "shapes": {name: list(parameter.shape) for name, parameter in parameters.items()},
    }  # fmt: skip


def _told(description: dict[str, Any], name: str) -> str:
    value = str(description[name])
    return f"{value} ({description['folder']})" if name == "base" else value


def _file(policy: HuggingFacePolicy) -> str:
    return f"hf-{policy.ranks.rank:03}.pt"


def _random() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})
