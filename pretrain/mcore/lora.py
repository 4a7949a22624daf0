"""LoRA (Hu et al. 2021) on Megatron's linear layers, as adapters of the Hugging Face layers they are made of.

A fused layer has an adapter for each of its Hugging Face layers: q, k and v (gate and up) have an A and a B of their
own, and the rows of their B lie where the table of `pretrain.hf.tables` puts the rows of their weights; GPT-2's c_attn
is one layer there, with one A and one B. So an adapter means the same on both sides, and is kept by its names there:

    adapters.model.layers.0.self_attn.q_proj.lora_A      (rank, inputs)
    adapters.model.layers.0.self_attn.q_proj.lora_B      (outputs, rank)

Under tensor parallelism a column-parallel layer has A whole and its rows of B, a row-parallel one its columns of A and
B whole; between ranks pass `rank` numbers a token, not hidden states.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core import parallel_state, tensor_parallel
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from megatron.core.tensor_parallel import RowParallelLinear

from pretrain.config import Model
from pretrain.hf.config import family_of
from pretrain.hf.rows import Matrix, Run
from pretrain.hf.tables import EXPERTS, table

LINEAR = ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2")
PREFIX = "adapters."


@dataclass(frozen=True)
class Lora:
    """Which layers have adapters, and what they are like."""

    rank: int
    alpha: float
    layers: frozenset[str]  # Hugging Face names of linear layers, without .weight
    dropout: float = 0.0
    seed: int = 0

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def adaptable(model: Model) -> dict[str, tuple[int, int]]:
    """Return the linear layers that can have adapters, by Hugging Face name: (inputs, outputs). Not experts'."""
    found = {}
    for matrix in table(model, family_of(model)):
        if matrix.key.endswith(tuple(f"{name}.weight" for name in LINEAR)) and EXPERTS not in matrix.key:
            assert matrix.columns is not None
            for name, shape in matrix.sources().items():
                outputs = shape[1] if matrix.transposed else shape[0]
                found[name.removesuffix(".weight")] = (matrix.columns, outputs)
    return found


class Adapters(torch.nn.Module):
    """All adapters of a chunk of the model; `enabled` says whether they are applied."""

    def __init__(self, layers: Sequence[LayerAdapters]):
        super().__init__()
        self.enabled = True
        self.layers = torch.nn.ModuleList(layers)

    @contextlib.contextmanager
    def off(self) -> Iterator[None]:
        """Compute without them while the block runs."""
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True

    def sharded_state_dict(self, prefix: str = "", *_: Any, **__: Any) -> dict[str, ShardedTensor]:
        pieces = [piece for layer in self.layers for piece in layer.pieces(prefix)]
        return {f"{piece.key} {piece.global_offset}": piece for piece in pieces}


def attach(chunk: Any, model: Model, lora: Lora) -> None:
    """Freeze a chunk but for its head of numbers, and give it adapters that add nothing yet: B is 0 (section 4.1)."""
    for name, parameter in chunk.named_parameters():
        parameter.requires_grad_(_trained(chunk, name))
    matrices = {matrix.key: matrix for matrix in table(model, family_of(model))}
    made = []
    for layer in chunk.decoder.layers:
        for name in LINEAR:
            matrix = matrices.get(f"decoder.layers.{layer.layer_number - 1}.{name}.weight")
            names = [n.removesuffix(".weight") for n in matrix.sources()] if matrix else []
            if matrix is not None and lora.layers.intersection(names):
                made.append(LayerAdapters(layer.get_submodule(name), matrix, lora, model.activation == "swiglu"))
    chunk.adapters = Adapters(made)
    chunk.adapters.to(dtype=chunk.config.params_dtype)
    for each in made:
        each.hook(chunk.adapters)


def _trained(chunk: Any, name: str) -> bool:
    from pretrain.mcore.heads import NumberHead

    return name.startswith("output_layer.") and isinstance(chunk.output_layer, NumberHead)


class LayerAdapters(torch.nn.Module):
    """The adapters of one of Megatron's linear layers, this rank's part of them."""

    def __init__(self, linear: Any, matrix: Matrix, lora: Lora, gated: bool):
        super().__init__()
        self.lora, self.row = lora, isinstance(linear, RowParallelLinear)
        self.sequence = linear.sequence_parallel
        self.size = parallel_state.get_tensor_model_parallel_world_size()
        self.rank = parallel_state.get_tensor_model_parallel_rank()
        self._linear = [linear]  # in a list: its weight is no parameter of this module
        self.inputs = matrix.columns or 0
        runs = self._local(matrix, gated and matrix.key.endswith("linear_fc1.weight"))
        self.outputs = sum(run.rows for run in runs)
        self.whole = {name.removesuffix(".weight"): shape[1] if matrix.transposed else shape[0]
                      for name, shape in matrix.sources().items()}  # fmt: skip
        self.segments = {  # rows of a Hugging Face layer's B that this rank has
            name: _merged(run for run in runs if run.name == f"{name}.weight")
            for name in self.whole
            if name in lora.layers
        }
        self.a, self.b = torch.nn.ParameterDict(), torch.nn.ParameterDict()
        for name, segments in self.segments.items():
            self._begin(name, sum(stop - start for start, stop in segments), linear.weight.device)
        self._order = _order(runs, self.segments)

    def _local(self, matrix: Matrix, gated: bool) -> list[Run]:
        """Return the rows of this rank's part of the layer."""
        if self.row:
            return list(matrix.runs)
        if gated:  # each of gate and up is cut
            shares = [(run, run.rows // self.size) for run in matrix.runs]
            return [Run(run.name, self.rank * n, (self.rank + 1) * n) for run, n in shares]
        share = matrix.rows // self.size
        return list(matrix.window(self.rank * share, (self.rank + 1) * share))

    def _begin(self, name: str, rows: int, device: Any) -> None:
        """Draw A as torch draws a linear layer's weight, from the seed and the name, whatever the parallel sizes."""
        seed = hashlib.sha256(f"{self.lora.seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(seed[:7]))
        bound = self.inputs**-0.5
        a = torch.empty(self.lora.rank, self.inputs).uniform_(-bound, bound, generator=generator)
        if self.row:
            a = a.chunk(self.size, 1)[self.rank]
        key = name.replace(".", "/")
        self.a[key] = torch.nn.Parameter(a.to(device).contiguous())
        self.b[key] = torch.nn.Parameter(torch.zeros(rows, self.lora.rank, device=device))
        cut, whole = (self.a[key], self.b[key]) if self.row else (self.b[key], self.a[key])
        tensor_parallel.set_tensor_model_parallel_attributes(cut, True, 1 if self.row else 0, 1)
        whole.sequence_parallel = self.sequence  # its gradient is a part of a sum

    def hook(self, adapters: Adapters) -> None:
        """Add what the adapters give to what the layer gives, from now on."""

        def add(_: Any, given: tuple[Any, ...], output: tuple[Any, Any]) -> tuple[Any, Any]:
            return (output[0] + self(given[0]), output[1]) if adapters.enabled else output

        self._linear[0].register_forward_hook(add)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what is added to the layer's output; x as the layer has it, its part of tokens or of inputs."""
        if self.training and self.lora.dropout:
            parted = self.row or self.sequence  # ranks that hold different numbers drop different ones
            with tensor_parallel.get_cuda_rng_tracker().fork() if parted else contextlib.nullcontext():
                x = F.dropout(x, self.lora.dropout)
        low = torch.cat([F.linear(x, a) for a in self.a.values()], -1)  # (s, b, layers x rank)
        if self.row:
            reduce = (
                tensor_parallel.reduce_scatter_to_sequence_parallel_region
                if self.sequence
                else tensor_parallel.reduce_from_tensor_model_parallel_region
            )
            low = reduce(low)
        elif self.sequence:
            low = tensor_parallel.gather_from_sequence_parallel_region(low)
        else:
            low = tensor_parallel.copy_to_tensor_model_parallel_region(low)
        parts = [F.linear(z, b) for z, b in zip(low.split(self.lora.rank, -1), self.b.values())]
        if self._order is not None:
            parts.append(low.new_zeros(*low.shape[:-1], 1))  # of rows without an adapter
        added = torch.cat(parts, -1) * self.lora.scale
        return added if self._order is None else added.index_select(-1, self._order.to(added.device))

    def pieces(self, prefix: str) -> Iterator[ShardedTensor]:
        """Yield this rank's parts of the whole adapters, as views."""
        data = parallel_state.get_data_parallel_rank(with_context_parallel=True)
        cut, whole = (0, 0, data), (0, self.rank, data)
        for name, segments in self.segments.items():
            key = name.replace(".", "/")
            a, b, rank = self.a[key], self.b[key], self.lora.rank
            column = self.rank * a.shape[1] if self.row else 0
            yield _piece(f"{prefix}{name}.lora_A", a, (rank, self.inputs), (0, column), cut if self.row else whole)
            at = 0
            for start, stop in segments:
                rows = b[at : at + stop - start]
                at += stop - start
                shape = (self.whole[name], rank)
                yield _piece(f"{prefix}{name}.lora_B", rows, shape, (start, 0), whole if self.row else cut)


def _piece(key: str, data: Any, shape: tuple[int, ...], offset: tuple[int, ...], replica: Any) -> ShardedTensor:
    return ShardedTensor(key, data, data.dtype, tuple(data.shape), shape, offset, None, replica)


def _merged(runs: Iterator[Run]) -> list[tuple[int, int]]:
    """Join runs that follow each other: 2-4, 0-2, 6-8 -> (0, 4), (6, 8)."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted((run.start, run.stop) for run in runs):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _order(runs: list[Run], segments: dict[str, list[tuple[int, int]]]) -> torch.Tensor | None:
    """Return where each row of the fused layer lies in the outputs of all its B, one after another; None: in place.

    Rows without an adapter point behind the last.
    """
    place: dict[tuple[str, int], int] = {}  # (name, first row of a segment) -> where it begins
    at = 0
    for name, found in segments.items():
        for start, stop in found:
            place[f"{name}.weight", start] = at - start
            at += stop - start
    order = []
    for run in runs:
        starts = [start for name, start in place if name == run.name and start <= run.start]
        shift = place[run.name, max(starts)] if starts else None
        order.append(torch.full((run.rows,), at) if shift is None else torch.arange(run.start, run.stop) + shift)
    flat = torch.cat(order)
    return None if torch.equal(flat, torch.arange(at)) else flat


def all_off(chunks: Sequence[Any]) -> contextlib.ExitStack:
    """Return a block in which no chunk applies its adapters."""
    stack = contextlib.ExitStack()
    for chunk in chunks:
        stack.enter_context(chunk.adapters.off())
    return stack
