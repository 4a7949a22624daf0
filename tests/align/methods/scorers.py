"""Reward models whose scores are known."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.align import tiny


def last_token(folder: Path, wanted: range, high: float = 4.0, outputs: int = 1, **config: object) -> str:
    """Save a model that scores a sequence `high` where its last token is wanted, else 0; return the folder.

    Its layers add nothing, so that it sees its last token alone: the first entry of an embedding is 1 or -1.
    """
    import transformers

    names = tiny.tokenizer(folder)
    settings = transformers.LlamaConfig(
        vocab_size=len(names), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_labels=outputs, pad_token_id=names.pad_token_id, bos_token_id=None, eos_token_id=names.eos_token_id,
        **config,
    )  # fmt: skip
    model = transformers.LlamaForSequenceClassification(settings)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedding = model.model.embed_tokens.weight
        embedding.zero_()
        embedding[:, 1] = 1.0  # so that the norm of all is the same, sqrt(2), which RMSNorm makes sqrt(8)
        embedding[:, 0] = -1.0
        embedding[list(wanted), 0] = 1.0
        model.score.weight.zero_()
        model.score.weight[:, :2] = high / 4  # either entry is 2 or -2 after the norm
    model.save_pretrained(folder)
    return str(folder)
