"""Models of every family, saved by transformers, and what they answer: what exports are held against."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.align import tiny

MIXTRAL = {"num_local_experts": 4, "num_experts_per_tok": 2}


def save(folder: Path, kind: str = "llama", scores: int = 0, dtype: str = "float32", **more: object) -> str:
    """Save a model of random weights, none of them 0 or 1 alone, with its tokenizer; return the folder."""
    import transformers

    tiny.model(folder, kind if kind in ("gpt2", "llama", "qwen2") else "llama", hidden=64)
    told = json.loads((folder / "config.json").read_text())
    config = transformers.AutoConfig.for_model(**told | {"model_type": kind, "architectures": None} | more)
    if scores:
        config.num_labels = scores
    auto = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    torch.manual_seed(3)
    model = auto.from_config(config).to(getattr(torch, dtype))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return str(folder)


def tensors(folder: str | Path) -> dict[str, torch.Tensor]:
    """Return all tensors of a folder, read by the safetensors library."""
    return {k: v for file in sorted(Path(folder).glob("*.safetensors")) for k, v in load_file(file).items()}


def answer(folder: str | Path, tokens: torch.Tensor, scores: bool = False) -> torch.Tensor:
    """Return logits as transformers computes them of the whole model in float32."""
    import transformers

    auto = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        if not scores:
            return model(tokens).logits
        return model.score(getattr(model, model.base_model_prefix)(tokens).last_hidden_state)
