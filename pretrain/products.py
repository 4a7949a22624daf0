"""Which parallel sizes are possible: the products that must hold, each refused in words that name it."""

from __future__ import annotations

from collections.abc import Iterator

from pretrain.config import Config
from pretrain.memory import Sizes
from pretrain.sizes import padded_vocabulary


def refusal(config: Config, sizes: Sizes) -> str | None:
    """Return why these sizes are impossible, in one line, or None where every product holds."""
    return next(refusals(config, sizes), None)


def refusals(config: Config, sizes: Sizes) -> Iterator[str]:
    """Yield what does not hold; `config` has its vocabulary and sequence length, `sizes` has nothing open.

    The conditions are those of megatron-core 0.16 (parallel_state.py, TransformerConfig, schedules.py); stricter in
    one: key heads are never fewer than the ranks that cut them.
    """
    model, training, length = config.model, config.training, config.data.seq_length
    assert model is not None
    assert length is not None
    tensor, pipeline = sizes.tensor, sizes.pipeline
    yield from _ranks(sizes)
    for name, whole in (("model.heads", model.heads), ("model.kv_heads", model.key_heads)):
        yield from _divides(f"parallel.tensor {tensor}", tensor, f"{name} {whole}", whole)
    if not model.experts:
        yield from _divides(f"parallel.tensor {tensor}", tensor, f"model.ffn_size {model.ffn_size}", model.ffn_size)
    rows = padded_vocabulary(model)
    yield from _divides(
        f"parallel.tensor {tensor}",
        tensor,
        f"the padded vocabulary {rows} (model.vocab_multiple {model.vocab_multiple})",
        rows,
    )
    yield from _divides(
        f"{_product(pipeline=pipeline, virtual_pipeline=sizes.virtual_pipeline)}",
        pipeline * sizes.virtual_pipeline, f"model.layers {model.layers}", model.layers,
    )  # fmt: skip
    if sizes.virtual_pipeline > 1 and pipeline == 1:
        yield f"parallel.virtual_pipeline {sizes.virtual_pipeline} needs parallel.pipeline of more than 1"
    yield from _sequence(sizes, length)
    yield from _experts(config, sizes)
    share = training.micro_batch * sizes.data
    yield from _divides(
        f"training.micro_batch {training.micro_batch} x data {sizes.data} = {share}", share,
        f"training.global_batch {training.global_batch}", training.global_batch,
    )  # fmt: skip
    yield from _interleaving(sizes, training.global_batch // share)


def _ranks(sizes: Sizes) -> Iterator[str]:
    product = _product(tensor=sizes.tensor, pipeline=sizes.pipeline, context=sizes.context)
    yield from _divides(product, sizes.model_parallel, f"ranks {sizes.ranks}", sizes.ranks)


def _sequence(sizes: Sizes, length: int) -> Iterator[str]:
    if sizes.context > 1:
        yield from _divides(
            f"2 x context {sizes.context} = {2 * sizes.context}", 2 * sizes.context, f"data.seq_length {length}", length
        )
    if sizes.sequence and sizes.tensor == 1:
        yield "parallel.sequence needs parallel.tensor of more than 1, whose ranks share the sequence"
    if sizes.sequence:
        yield from _divides(
            _product(tensor=sizes.tensor, context=sizes.context), sizes.tensor * sizes.context,
            f"data.seq_length {length} under sequence parallelism", length,
        )  # fmt: skip


def _experts(config: Config, sizes: Sizes) -> Iterator[str]:
    model = config.model
    assert model is not None
    if not model.experts:
        if sizes.expert > 1:
            yield f"parallel.expert {sizes.expert} needs a mixture of experts; model.experts is not set"
        return
    yield from _divides(
        f"parallel.expert {sizes.expert}", sizes.expert, f"model.experts {model.experts}", model.experts
    )
    product = _product(pipeline=sizes.pipeline, expert=sizes.expert)
    yield from _divides(product, sizes.pipeline * sizes.expert, f"ranks {sizes.ranks}", sizes.ranks)
    if sizes.tensor > 1 and not sizes.sequence:
        yield f"parallel.tensor {sizes.tensor} with a mixture of experts needs parallel.sequence true"


def _interleaving(sizes: Sizes, micro_batches: int) -> Iterator[str]:
    if sizes.virtual_pipeline == 1:
        return
    yield from _divides(
        f"parallel.pipeline {sizes.pipeline}", sizes.pipeline,
        f"the {micro_batches} micro-batches of a step (interleaved pipeline)", micro_batches,
    )  # fmt: skip


def _product(**sizes: int) -> str:
    """Write {tensor: 2, pipeline: 3} as 'tensor 2 x pipeline 3 = 6'."""
    value = 1
    for size in sizes.values():
        value *= size
    return " x ".join(f"{name} {size}" for name, size in sizes.items()) + f" = {value}"


def _divides(what: str, part: int, of: str, whole: int) -> Iterator[str]:
    if whole % part:
        yield f"{what} must divide {of}"
