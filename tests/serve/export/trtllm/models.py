"""Models whose every weight follows from a formula, so that a peer in another environment makes the same ones."""

from __future__ import annotations

import zlib

import torch

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
KINDS = {  # name of the model -> (transformers' family, what its configuration has besides SIZES)
    "llama": ("llama", {"num_key_value_heads": 2, "rope_theta": 500_000.0}),
    "llama_tied": ("llama", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "llama_biased": ("llama", {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True}),
    "llama_one_key": ("llama", {"num_key_value_heads": 1, "head_dim": 12}),
    "llama_scaled": ("llama", {"num_key_value_heads": 2, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2}),
    "qwen3": ("qwen3", {"num_key_value_heads": 2, "head_dim": 16}),
    "mixtral": ("mixtral", {"num_key_value_heads": 2, "num_local_experts": 3, "num_experts_per_tok": 2}),
    "gpt2": ("gpt2", {}),
}  # fmt: skip
VOCABULARY, POSITIONS = 101, 65  # which no size of a group of GPUs divides


def configuration(name, **changed):
    import transformers

    family, more = KINDS[name]
    ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}
    if family == "gpt2":
        gpt = {"n_embd": 32, "n_inner": 48, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS,
               "vocab_size": VOCABULARY, "activation_function": "gelu_new"}  # fmt: skip
        made = transformers.GPT2Config(**{**gpt, **ends, **more, **changed})
    else:
        kinds = {
            "llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config,
            "mixtral": transformers.MixtralConfig,
        }  # fmt: skip
        sizes = {"vocab_size": VOCABULARY, "max_position_embeddings": POSITIONS, **SIZES, **ends}
        made = kinds[family](**{**sizes, **more, **changed})
    made.architectures = [transformers.AutoModelForCausalLM._model_mapping[type(made)].__name__]
    return made


def numbers(name, shape):
    """Return the weights of a tensor, from its name and places: numbers that float32 holds, and float16 does not."""
    places, key = torch.arange(torch.Size(shape).numel(), dtype=torch.int64), zlib.crc32(name.encode())
    mixed = ((places * 2654435761 + key) % 1000003 - 500001) * (key % 13 + 3)  # each tensor has its own largest
    made = mixed.to(torch.float32) / 2**25
    if name.endswith(("norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")):
        made += 1.0
    return made.reshape(shape)


def model(name, **changed):
    """Return a transformers model with these weights."""
    import transformers

    made = transformers.AutoModelForCausalLM.from_config(configuration(name, **changed)).eval()
    with torch.no_grad():
        for key, parameter in made.named_parameters():
            parameter.copy_(numbers(key, tuple(parameter.shape)))
    made.tie_weights()
    return made


def folder(name, place, **changed):
    """Save a model; return the folder's path as text."""
    model(name, **changed).save_pretrained(place)
    return str(place)
