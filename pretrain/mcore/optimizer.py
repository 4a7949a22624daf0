"""Megatron's optimizer and schedule from our settings."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from pretrain.config import Config

STYLES = {"cosine": "cosine", "wsd": "WSD", "linear": "linear", "constant": "constant"}


def optimizer(config: Config, chunks: list[Any], late: bool) -> Any:
    """Return AdamW over this rank's chunks; weight decay leaves out biases and norms.

    late: weights that other ranks updated come with the next forward pass.
    """
    settings, parallel = config.optimizer, config.parallel
    half = config.training.precision != "fp32"
    made = OptimizerConfig(
        optimizer="adam", lr=settings.lr, min_lr=settings.min_lr, weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1, adam_beta2=settings.beta2, adam_eps=settings.eps, clip_grad=settings.clip,
        bf16=half, params_dtype=torch.bfloat16 if half else torch.float32,
        use_distributed_optimizer=bool(parallel.distributed_optimizer),
        overlap_param_gather=late,
    )  # fmt: skip
    return get_megatron_optimizer(made, chunks)


def scheduler(config: Config, optimizer: Any) -> OptimizerParamScheduler:
    """Return the schedule of learning rates, in steps.

    Warm-up is linear from 0. cosine and linear fall to min_lr at decay_steps (training.steps); wsd (MiniCPM,
    arXiv:2404.06395, section 4) is flat until its last decay_steps (a tenth of the steps), then falls linearly.
    """
    settings, steps = config.optimizer, config.training.steps
    wsd = settings.schedule == "wsd"
    decay = settings.decay(steps)
    end = steps if wsd else decay
    return OptimizerParamScheduler(
        optimizer, init_lr=0.0, max_lr=settings.lr, min_lr=settings.min_lr, lr_warmup_steps=settings.warmup_steps,
        lr_decay_steps=end, lr_decay_style=STYLES[settings.schedule],
        start_wd=settings.weight_decay, end_wd=settings.weight_decay, wd_incr_steps=end, wd_incr_style="constant",
        wsd_decay_steps=decay if wsd else None,
        lr_wsd_decay_style="linear" if wsd else None,
        use_checkpoint_opt_param_scheduler=False, override_opt_param_scheduler=True,
    )  # fmt: skip
