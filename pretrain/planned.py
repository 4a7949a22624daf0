"""A plan: what was chosen, what it comes to, and that in words."""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.config import Config
from pretrain.machine import GIB, Machine
from pretrain.memory import Memory, Sizes
from pretrain.sizes import Flops, Parameters, active_weights, padded_vocabulary

SHOWN = 12  # of the candidates refused
# Of a device's memory; the rest is for what is not counted: CUDA's context and NCCL's buffers (1 to 2 GiB),
# fragmentation, experts that get more than their share. Our choice.
USABLE = 0.9


@dataclass(frozen=True)
class Tried:
    """Parallel sizes that were looked at, and why they were not taken."""

    sizes: Sizes
    refused: str


@dataclass(frozen=True)
class Plan:
    """A run with nothing left open, and what it comes to."""

    config: Config  # finished
    machine: Machine
    sizes: Sizes
    memory: Memory  # of the rank that needs most
    parameters: Parameters  # of the model, its vocabulary not padded
    flops: Flops  # a token
    tried: tuple[Tried, ...] = ()

    @property
    def micro_batches(self) -> int:
        """Of a data-parallel rank in a step."""
        return self.sizes.micro_batches(self.config)

    @property
    def bubble(self) -> float:
        """The pipeline's idle time by that of its work: (p - 1) / (m v) (Narayanan et al. 2021, section 2.2)."""
        return (self.sizes.pipeline - 1) / (self.micro_batches * self.sizes.virtual_pipeline)

    @property
    def tokens_per_step(self) -> int:
        assert self.config.data.seq_length is not None
        return self.config.training.global_batch * self.config.data.seq_length

    @property
    def tokens(self) -> int:
        """Of the whole run."""
        return self.tokens_per_step * self.config.training.steps

    def describe(self) -> str:
        """Return the plan as lines for the console."""
        return "\n".join([*_tried(self), *_model(self), *_spread(self), *_memory(self), *_run(self)])


def words(sizes: Sizes) -> str:
    """Write sizes as 'data 4 x tensor 2', those of 1 left out."""
    named = {"data": sizes.data, "tensor": sizes.tensor, "pipeline": sizes.pipeline, "context": sizes.context}
    text = " x ".join(f"{name} {size}" for name, size in named.items() if size > 1 or name == "data")
    return text + (f", expert {sizes.expert}" if sizes.expert > 1 else "")


def _tried(plan: Plan) -> list[str]:
    lines = [f"refused   {words(each.sizes)}: {each.refused}" for each in plan.tried[:SHOWN]]
    more = len(plan.tried) - SHOWN
    if more > 0:
        lines.append(f"          and {more:,} more")
    return lines


def _model(plan: Plan) -> list[str]:
    model, parts = plan.config.model, plan.parameters
    assert model is not None
    dense = "router" if model.experts else "feed-forward"
    named = {
        "embedding": parts.embedding, "attention": parts.attention, dense: parts.mlp, "experts": parts.experts,
        "norms": parts.norms, "output": parts.output,
    }  # fmt: skip
    sums = " + ".join(f"{name} {count:,}" for name, count in named.items() if count)
    lines = [
        f"model     {parts.total:,} parameters = {sums}",
        f"          vocabulary {model.vocab_size:,}, padded to {padded_vocabulary(model):,}",
    ]
    if model.experts:
        lines.append(
            f"          {active_weights(model):,} weights meet a token: {model.experts_per_token} of "
            f"{model.experts} experts"
        )
    flops = plan.flops
    lines.append(
        f"          {flops.total:.3e} FLOPs a token, forward and backward = matrix products {flops.matmuls:.3e} "
        f"+ attention {flops.attention:.3e} (PaLM, appendix B: not halved for causality)"
    )
    return lines


def _spread(plan: Plan) -> list[str]:
    sizes = plan.sizes
    also = [
        name
        for name, on in (
            ("sequence parallelism", sizes.sequence),
            ("distributed optimizer", sizes.distributed_optimizer),
        )
        if on
    ]
    lines = [
        f"machine   {plan.machine}",
        f"ranks     {sizes.ranks} = tensor {sizes.tensor} x pipeline {sizes.pipeline} x context {sizes.context} "
        f"x data {sizes.data}"
        + (f"; experts over {sizes.expert}" if sizes.expert > 1 else "")
        + "".join(f"; {name}" for name in also),
    ]
    if plan.machine.kind == "gpu" and sizes.ranks < plan.machine.devices:
        lines.append(f"          {plan.machine.devices - sizes.ranks} GPUs stay idle: no sizes use more (see refused)")
    return lines


def _memory(plan: Plan) -> list[str]:
    parts, has = plan.memory, plan.machine.memory_of_rank(plan.sizes.ranks)
    named = {
        "weights": parts.weights, "gradients": parts.gradients, "optimizer": parts.optimizer,
        **({"copy to save": parts.save} if parts.save else {}), "activations": parts.activations,
        "logits" if parts.logits > parts.working else "one layer's backward pass": max(parts.logits, parts.working),
    }  # fmt: skip
    sums = " + ".join(f"{name} {_gib(size)}" for name, size in named.items())
    return [f"memory    {_gib(parts.total)} GiB a rank = {sums}; usable {_gib(int(USABLE * has))} of {_gib(has)}"]


def _gib(size: int) -> str:
    return f"{size / GIB:.2f}"


def _run(plan: Plan) -> list[str]:
    training, sizes = plan.config.training, plan.sizes
    batch = (
        f"step      {training.global_batch} rows = {plan.micro_batches} micro-batches x {training.micro_batch} x data "
        f"{sizes.data}: {plan.tokens_per_step:,} tokens"
    )
    if sizes.pipeline > 1:
        batch += f"; its bubble is {plan.bubble:.1%} of the time of work"
    tokens = (
        f"run       {training.steps:,} steps, {plan.tokens:,} tokens, "
        f"{plan.tokens / plan.parameters.total:.1f} a parameter, {plan.tokens * plan.flops.total:.3e} FLOPs"
    )
    return [batch, tokens]
