"""The same by transformers and peft: models are made, adapters drawn, losses and norms computed by plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from tests.align.backends.megatron_cases import COUNTS, LOSSES, whole_batch
from tests.pretrain.hf.models import MODELS


def make(place: str) -> None:
    """Save a model of every family, two that score, and adapters of some; biases and norms are drawn as well."""
    for name, (family, fields, _) in MODELS.items():
        torch.manual_seed(3)
        deep = {"num_hidden_layers": 4} if name == "llama" else {}  # for interleaved pipelines
        config = AutoConfig.for_model(family, **{**fields, **deep})
        model = _shaken(AutoModelForCausalLM.from_config(config).float())
        model.save_pretrained(f"{place}/{name}")
        if name in ("llama", "qwen2", "gpt2"):
            _adapt(model, name, f"{place}/{name}-peft")
    for head, outputs in (("value", 1), ("reward", 2)):
        torch.manual_seed(4)
        config = AutoConfig.for_model("llama", **MODELS["llama"][1], num_labels=outputs)
        model = _shaken(AutoModelForSequenceClassification.from_config(config).float())
        model.save_pretrained(f"{place}/{head}")
        _adapt(model, head, f"{place}/{head}-peft")
    Path(place, "llama", "chat_template.jinja").write_text("{{ messages }}")


def _adapt(model: Any, name: str, folder: str) -> None:
    """Save drawn adapters of a model, and of one that scores its drawn head beside them."""
    task = "SEQ_CLS" if name in ("value", "reward") else "CAUSAL_LM"
    lora = LoraConfig(task_type=task, r=4, lora_alpha=8.0, target_modules="all-linear", fan_in_fan_out=name == "gpt2")
    adapted = get_peft_model(model, lora)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.save_pretrained(folder)


def _shaken(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def seen(model: Any, temperature: float = 1.0) -> dict[str, torch.Tensor]:
    """Return what a policy gives for the eight examples, from whole logits, with gradients."""
    batch = whole_batch()
    logits = model(batch.tokens).logits[:, :-1] / temperature
    logprobs = logits.log_softmax(-1)
    inside = torch.arange(batch.labels.shape[1]) < (batch.lengths - 1)[:, None]
    top = logprobs.topk(3)
    return {
        "logprobs": logprobs.gather(-1, batch.labels[..., None])[..., 0] * inside,
        "entropy": -(logprobs.exp() * logprobs).sum(-1) * inside,
        "candidates": logprobs.gather(-1, batch.fields["candidates"]) * inside[..., None],
        "top": top.indices * inside[..., None],
        "likely": top.values * inside[..., None],
    }


def numbers(folder: str, adapter: str = "") -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a scoring model, and its scores at last tokens and values at all, of output 0."""
    batch = whole_batch()
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inner = model
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True).eval()
        inner = model.get_base_model()
    given = inner.score(inner.model(batch.tokens)[0])
    inside = torch.arange(batch.labels.shape[1]) < (batch.lengths - 1)[:, None]
    rows = torch.arange(len(batch.lengths))
    return model, {"scores": given[rows, batch.lengths - 1], "values": given[:, :-1, 0] * inside}


def step(found: dict[str, torch.Tensor], head: str, parameters: Any) -> tuple[float, float]:
    """Return the loss and the L2 norm of its gradients."""
    from align.policy import Outputs

    names = ("logprobs", "entropy", "candidates", "values", "scores")
    outputs = Outputs(**{name: found[name] for name in names if name in found})
    loss, _ = LOSSES[head](outputs, whole_batch(), COUNTS)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, trained)
    return float(loss.detach()), float(torch.stack([g.norm() for g in gradients]).norm())


def language_model(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def adapted(folder: str, adapter: str) -> Any:
    return PeftModel.from_pretrained(language_model(folder), adapter, is_trainable=True).eval()
