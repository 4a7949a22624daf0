"""megatron-core 0.16 on CPU and gloo: what it takes for granted of CUDA, put on the CPU.

`install` patches torch for the whole process, so only launched worker processes call it, and it refuses where
CUDA is there. It is no CUDA test: Transformer Engine, NCCL, streams, fused kernels and the GPU's random
numbers are not touched. Each piece says what fails without it; a test leaves each out and sees it fail.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import torch

FACTORIES = ("zeros", "ones", "empty", "full", "tensor", "arange", "eye", "rand", "randn", "randint", "zeros_like",
             "ones_like", "empty_like", "full_like", "as_tensor")  # fmt: skip


def install(leave_out: str = "") -> None:
    """Patch torch and megatron.core so that they run without CUDA; `leave_out` names a piece, for its test."""
    if torch.cuda.is_available():
        raise RuntimeError("the CPU shim is not for machines with CUDA")
    for name, piece in PIECES.items():
        if name != leave_out:
            piece()


def installed() -> bool:
    """Tell whether torch is patched in this process."""
    return torch.cuda.current_device.__module__ == __name__


def _device() -> None:
    """torch.cuda.current_device() raises "not compiled with CUDA"; the parameters ask it where to live."""
    torch.cuda.current_device = lambda: torch.device("cpu")


def _random() -> None:
    """The tensor-parallel random states fork the CUDA generator, even with no dropout."""
    torch.cuda.get_rng_state = torch.cuda.random.get_rng_state = lambda device=None: torch.get_rng_state()
    torch.cuda.manual_seed = torch.cuda.random.manual_seed = lambda seed: torch.default_generator.manual_seed(int(seed))
    import megatron.core.tensor_parallel.random as states

    states._set_cuda_rng_state = lambda state, device=-1, graph_safe=False: torch.set_rng_state(state)
    states._get_cuda_rng_state = lambda device="cuda", clone=False, graph_safe=False: torch.get_rng_state()
    log = logging.getLogger(states.__name__)
    log.addFilter(lambda record: "CPU RNG state changed" not in record.getMessage())  # it is the one that should


def _literals() -> None:
    """Schedules, gradient clipping and masks write device="cuda". A TorchFunctionMode would be off in backward."""
    for name in FACTORIES:
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    to = torch.Tensor.to
    torch.Tensor.cuda = lambda self, *a, **k: self

    def to_cpu(self: torch.Tensor, *a: Any, **k: Any) -> torch.Tensor:
        if _is_cuda(k.get("device")):
            k["device"] = "cpu"
        return to(self, *("cpu" if _is_cuda(x) else x for x in a), **k)

    torch.Tensor.to = to_cpu


def _is_cuda(device: Any) -> bool:
    return isinstance(device, str | torch.device) and str(device).startswith("cuda")


def _on_cpu(make: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(make)
    def made(*a: Any, **k: Any) -> Any:
        if _is_cuda(k.get("device")):
            k["device"] = "cpu"
        k.pop("pin_memory", None)
        return make(*a, **k)

    return made


def _type_names() -> None:
    """Clipping and the optimizers compare Tensor.type() with "torch.cuda.FloatTensor"."""
    kind = torch.Tensor.type
    torch.Tensor.type = lambda self, *a, **k: (
        kind(self, *a, **k) if a or k else kind(self).replace("torch.", "torch.cuda.", 1)
    )


def _streams() -> None:
    """Pipeline communication synchronises; MoE's all-to-all and overlapping use streams and events."""

    class Event(torch.cpu.Event):
        def __init__(self, *a: Any, **k: Any):
            self.at = 0.0

        def record(self, stream: Any = None) -> None:
            self.at = time.perf_counter()

        def elapsed_time(self, end: Event) -> float:
            return (end.at - self.at) * 1e3

    class Stream(torch.cpu.Stream):
        def __init__(self, *a: Any, **k: Any):
            pass

        def record_event(self, event: Any = None) -> Any:
            return event or Event()

        def synchronize(self) -> None:
            pass

    only = Stream()
    torch.cuda.Stream, torch.cuda.Event, torch.cuda.stream = Stream, Event, torch.cpu.stream
    torch.cuda.current_stream = torch.cuda.default_stream = lambda *a, **k: only
    torch.cuda.synchronize = torch.cuda.empty_cache = lambda *a, **k: None
    torch.Tensor.record_stream = lambda self, stream: None


def _splits() -> None:
    """MoE's all-to-all gives its split sizes as tensors: on CUDA they are copied to lists, on CPU left as they are."""
    import megatron.core.transformer.moe.token_dispatcher as dispatcher

    move = dispatcher.maybe_move_tensor_to_cpu

    def moved(tensor: Any, as_numpy: bool = False, record_stream: bool = False) -> Any:
        if as_numpy and torch.is_tensor(tensor):
            return tensor.tolist()
        return move(tensor, as_numpy, record_stream)

    dispatcher.maybe_move_tensor_to_cpu = moved


def _compiling() -> None:
    """Helpers are compiled by torch.compile at first use: minutes on a CPU, for no gain."""
    import megatron.core.jit

    megatron.core.jit.disable_jit_fuser()


PIECES: dict[str, Callable[[], None]] = {
    "compiling": _compiling,
    "device": _device,
    "random": _random,
    "literals": _literals,
    "type_names": _type_names,
    "streams": _streams,
    "splits": _splits,
}
