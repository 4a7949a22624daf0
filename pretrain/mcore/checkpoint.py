"""Save and load an engine's state, in the torch_dist format of megatron.core.dist_checkpointing.

A save blocks training for one copy to host memory. A thread of each rank then writes, hashes, and agrees with
the other ranks, over a gloo group of its own, on how it went; rank 0 publishes. A thread, where Megatron forks
a process: nothing is left behind when a rank is killed, no Manager is started (2.5 s), and no process with
CUDA and NCCL threads is forked. The price is host memory for what the rank writes, kept between saves.
"""

from __future__ import annotations

import contextlib
import datetime
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from megatron.core import dist_checkpointing, parallel_state, tensor_parallel
from megatron.core.dist_checkpointing.core import CheckpointingConfig, CheckpointingException, save_config
from megatron.core.dist_checkpointing.mapping import ShardedObject, ShardedTensor, is_main_replica
from megatron.core.dist_checkpointing.serialization import get_default_save_common_strategy, load_sharded_metadata
from megatron.core.dist_checkpointing.strategies.fully_parallel import FullyParallelSaveStrategyWrapper
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint import FileSystemWriter

from millrace import storage, tables
from millrace.errors import StorageError
from pretrain.errors import CheckpointError
from pretrain.mcore import layout
from pretrain.mcore.state import seed
from pretrain.run.checkpoints import About, Folder, damage, reading

WAIT = datetime.timedelta(hours=2)  # for the slowest rank's file


@dataclass(frozen=True)
class Saved:
    """How a save ended; the same on every rank."""

    step: int
    path: str  # of the checkpoint; empty where it failed
    error: str  # empty where it succeeded
    bytes: int
    seconds: float  # from the call to the end; those of this rank
    blocked: float  # of them training stood still


class Pending:
    """A save that may still run."""

    def __init__(self, work: Callable[[], Saved], asynchronous: bool):
        self._saved: Saved | None = None
        self._mistake: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="checkpoint", daemon=True)
        (self._thread.start if asynchronous else self._thread.run)()

    def _run(self, work: Callable[[], Saved]) -> None:
        try:
            self._saved = work()
        except BaseException as mistake:
            self._mistake = mistake

    def poll(self) -> Saved | None:
        """Return how the save ended, None while it runs. Asks no other rank: one may know before another."""
        if self._mistake is not None:
            raise self._mistake
        return self._saved

    def wait(self) -> Saved:
        """Return how the save ended, once it has."""
        if self._thread.ident is not None:
            self._thread.join()
        saved = self.poll()
        assert saved is not None
        return saved


class Place(Protocol):
    """Where checkpoints are written, as a run's Folder says it."""

    def aside(self, step: int) -> Path:
        """Return where the checkpoint of a step is written."""
        ...

    def publish(self, step: int, contents: dict[str, Any], files: dict[str, dict[str, Any]]) -> Path:
        """Make a checkpoint that all ranks have written one of those there are; return its path."""
        ...


class Saver:
    """Save one engine, step after step; made by all ranks together, before the first save.

    about: what the checkpoint belongs to; None where its place keeps that itself.
    """

    def __init__(self, engine: Any, folder: Place, about: About | None, asynchronous: bool = True):
        self.engine, self.folder, self.about, self.asynchronous = engine, folder, about, asynchronous
        self._group = torch.distributed.new_group(backend="gloo", timeout=WAIT)
        mine = share(layout.tensors(engine))
        pin = torch.cuda.is_available()
        self._live = [tensor.data for tensor in mine]
        self._host = [
            replace(tensor, data=torch.empty(tensor.local_shape, dtype=tensor.dtype, device="cpu", pin_memory=pin))
            for tensor in mine
        ]
        for tensor in self._host:
            tensor.data.zero_()  # the first save need not wait for the kernel's pages
        self._pending: Pending | None = None

    def save(self, state: dict[str, Any]) -> Pending:
        """Begin to save the engine and the loop's `state` (with step, rows and tokens); called by all ranks.

        Waits for the save before where that still runs. A save that fails says so in `Saved.error` and leaves
        the checkpoints there were; a program's own mistakes in the calling thread are raised.
        """
        began = time.perf_counter()
        if self._pending is not None:
            self._pending.wait()
        self._copy()
        beside = [value for chunk in layout.objects(self.engine) for value in chunk.values()]
        items = _serialised([*beside, _random_states()])  # now: the next step changes them
        common = {
            "state": state,
            "scheduler_steps": int(self.engine.scheduler.num_steps),
            "parallel": _sizes(self.engine),
        }
        blocked = time.perf_counter() - began if self.asynchronous else None
        updates = layout.step(self.engine.optimizer)
        self._pending = Pending(lambda: self._finish(began, blocked, items, common, updates), self.asynchronous)
        return self._pending

    @torch.no_grad()
    def _copy(self) -> None:
        """Copy this rank's share to host memory."""
        self.engine.settle()
        for live, host in zip(self._live, self._host):
            host.data.copy_(live, non_blocking=True)
        torch.cuda.synchronize()

    def _finish(
        self, began: float, blocked: float | None, items: dict[str, Any], common: dict[str, Any], updates: int | None
    ) -> Saved:
        step = int(common["state"]["step"])
        rank, path, size, error = torch.distributed.get_rank(), "", 0, ""
        try:
            told: list[Any] = [None] * torch.distributed.get_world_size()
            written = self._write(step, items, updates)
            torch.distributed.gather_object(written, told if rank == 0 else None, dst=0, group=self._group)
            if rank == 0:
                path, size, error = self._publish(step, common, told)
            outcome = [(path, size, error)]
            torch.distributed.broadcast_object_list(outcome, src=0, group=self._group)
            path, size, error = outcome[0]
        except RuntimeError as lost:  # a rank is gone, and with it what it should have written
            error = f"lost another rank during the save: {str(lost).splitlines()[0]}"
        seconds = time.perf_counter() - began
        return Saved(step, "" if error else path, error, size, seconds, seconds if blocked is None else blocked)

    def _write(self, step: int, items: dict[str, Any], updates: int | None) -> dict[str, Any]:
        """Write this rank's file; return what rank 0 must know of it."""
        folder, rank = self.folder.aside(step), torch.distributed.get_rank()
        try:
            planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
            planner.set_up_planner({**_serialised(self._host), **items})
            writer = FileSystemWriter(folder, per_thread_copy_ahead=0)
            writer.set_up_storage_writer(False, rank=rank, use_collectives=False)  # its file is named by the rank
            plan = writer.prepare_local_plan(planner.create_local_plan())
            results = writer.write_data(plan, planner).wait()
            names = {result.storage_data.relative_path for result in results}
            files = {name: tables.checksum(str(folder / name)) for name in names}
            return {"error": "", "plan": plan, "results": results, "files": files, "updates": updates}
        except (OSError, RuntimeError, StorageError) as error:
            return {"error": f"rank {rank} cannot write {folder}: {_reason(error)}"}

    def _publish(self, step: int, common: dict[str, Any], told: list[dict[str, Any]]) -> tuple[str, int, str]:
        """Write what describes the ranks' files and publish them, or remove them; return (path, bytes, error)."""
        folder = self.folder.aside(step)
        error = next((each["error"] for each in told if each["error"]), "")
        try:
            if error:
                storage.remove(str(folder))  # before other ranks hear of it: they may save this step again
                return "", 0, error
            planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
            planner.set_up_planner({}, is_coordinator=True)
            _, metadata = planner.create_global_plan([each["plan"] for each in told])
            FileSystemWriter(folder).finish(metadata, [each["results"] for each in told])
            common["updates"] = next(each["updates"] for each in told if each["updates"] is not None)
            get_default_save_common_strategy().save_common(common, str(folder))
            save_config(CheckpointingConfig("torch_dist", 1), str(folder))
            files = {name: kept for each in told for name, kept in each["files"].items()}
            for name in storage.list_folder(str(folder)):
                if name not in files:
                    files[name] = tables.checksum(str(folder / name))
            about = asdict(self.about) if self.about is not None else {}
            contents = {**{name: common["state"].get(name) for name in ("rows", "tokens")}, **about}
            final = self.folder.publish(step, contents, files)
            return str(final), sum(kept["bytes"] for kept in files.values()), ""
        except (OSError, RuntimeError, ValueError, StorageError) as failed:
            with contextlib.suppress(OSError):  # the next run removes it
                storage.remove(str(folder))
            return "", 0, error or f"cannot write {folder}: {_reason(failed)}"


def load(engine: Any, path: Path) -> tuple[dict[str, Any], bool]:
    """Load a checkpoint into an engine; return (the loop's state, whether random numbers go on where they were).

    Any parallel sizes may have written it. Where they were others, the random states are begun anew, from seed
    and step: with dropout, other numbers are drawn than in an unbroken run. Every rank reads its own part, in place.
    """
    with reading(path):
        common = dist_checkpointing.load_common_state_dict(str(path))
        same = common["parallel"] == _sizes(engine)
        wanted: dict[str, Any] = {str(n): tensor for n, tensor in enumerate(layout.tensors(engine))}
        there = load_sharded_metadata(str(path))
        wanted["objects"] = {  # Transformer Engine has some that a run without it did not write
            str(n): {name: value for name, value in chunk.items() if value.unique_key in there}
            for n, chunk in enumerate(layout.objects(engine))
        }
        if same:
            wanted["random"] = _random_states()
        with torch.no_grad():
            loaded = dist_checkpointing.load(wanted, str(path), validate_access_integrity=False)
    for number, chunk in enumerate(engine.chunks):
        chunk.load_state_dict(loaded.get("objects", {}).get(str(number), {}), strict=False)
    layout.set_step(engine.optimizer, common["updates"])
    engine.scheduler.num_steps = common["scheduler_steps"]
    engine.scheduler.step(0)
    if same:
        _set_random_states(loaded["random"])
    else:
        seed(engine.settings.training.seed + int(common["state"]["step"]))
    return common["state"], same


def about(path: Path) -> dict[str, Any]:
    """Return the loop's state that a checkpoint was saved with. Raises CheckpointError where there is none."""
    try:
        return dict(dist_checkpointing.load_common_state_dict(str(path))["state"])
    except (OSError, KeyError, CheckpointingException) as error:
        raise CheckpointError(f"{path} holds no checkpoint: {_reason(error)}") from None


def newest(folder: Folder) -> tuple[Path | None, list[str]]:
    """Return the newest whole checkpoint and a line for each newer one that is not; called by all ranks.

    Every file is read and hashed, by one of the ranks. Raises CheckpointError where none of several is whole.
    """
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def check(path: Path) -> list[str]:
        told: list[Any] = [None] * ranks
        torch.distributed.all_gather_object(told, damage(path, rank, ranks))
        return sorted({line for lines in told for line in lines})

    steps = [folder.steps()]  # as rank 0 sees them: a network file system may show another rank others
    torch.distributed.broadcast_object_list(steps, src=0)
    return folder.latest(check, steps[0])


def share(tensors: list[ShardedTensor]) -> list[ShardedTensor]:
    """Return what this rank writes: of what data-parallel ranks hold alike, a part of even size."""
    group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    if group.size() > 1:
        spread = FullyParallelSaveStrategyWrapper(TorchDistSaveShardedStrategy("torch_dist", 1), group)
        spread.apply_saving_parallelization({str(n): tensor for n, tensor in enumerate(tensors)})
    return [tensor for tensor in tensors if is_main_replica(tensor.replica_id)]


def _serialised(values: Sequence[ShardedTensor | ShardedObject]) -> dict[str, Any]:
    """Return what torch's writer takes: objects as bytes, tensors as they are; only what this rank is to write."""
    keyed: dict[str, list[Any]] = {}
    for value in values:
        if is_main_replica(value.replica_id):
            keyed.setdefault(value.unique_key if isinstance(value, ShardedObject) else value.key, []).append(value)
    return dict(mcore_to_pyt_state_dict(keyed, False))


def _reason(error: BaseException) -> str:
    """Return what the system said, where torch's writer covered it with words of its own."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    return found.strerror or str(found) if isinstance(found, OSError) else str(error)


def _sizes(engine: Any) -> dict[str, int]:
    parallel = engine.settings.parallel
    names = ("tensor", "pipeline", "virtual_pipeline", "context", "expert")
    return {"ranks": torch.distributed.get_world_size(), **{name: getattr(parallel, name) for name in names}}


def _random_states() -> ShardedObject:
    """Return the states of torch's generators, on the CPU and on this device, and of tensor-parallel regions."""
    states = {"cpu": torch.get_rng_state(), "regions": tensor_parallel.get_cuda_rng_tracker().get_states()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    place = (torch.distributed.get_world_size(),), (torch.distributed.get_rank(),)
    return ShardedObject("random_states", states, *place)


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    tensor_parallel.get_cuda_rng_tracker().set_states(states["regions"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
