"""Which Hugging Face tensors make up each of Megatron's, one table a family.

Megatron's names are those of its checkpoints, the keys of `sharded_state_dict` in megatron-core 0.16: the same
with and without Transformer Engine, but for one (see ALIASES), and global whatever the parallel sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pretrain.config import Model
from pretrain.hf.rows import PADDING, Matrix, Run
from pretrain.sizes import padded_vocabulary

LAYER = "decoder.layers.{layer}."
ATTENTION = LAYER + "self_attention."
QKV, FC1, FC2 = ATTENTION + "linear_qkv.", LAYER + "mlp.linear_fc1.", LAYER + "mlp.linear_fc2."
EXPERTS = "mlp.experts.experts."  # in Megatron's tensors the experts of a layer are stacked
OUTPUT, SCORE = "output_layer.weight", "score.weight"
# The norm before experts, whose name Transformer Engine's layers leave alone.
ALIASES = {"mlp.linear_fc1.layer_norm_": "pre_mlp_layernorm."}

Layout = Callable[[Model, tuple[str, ...]], tuple[Run, ...]]


@dataclass(frozen=True)
class Rule:
    """One line of a table: a name of Megatron's, the Hugging Face names, and how the rows lie."""

    megatron: str
    names: tuple[str, ...]
    layout: Layout
    columns: Callable[[Model], int] | None = None  # of Megatron's matrix; None: a vector
    when: Callable[[Model], bool] = lambda model: True
    transposed: bool = False


def hidden(model: Model) -> int:
    return model.hidden_size


def ffn(model: Model) -> int:
    return model.ffn_size


def head(model: Model) -> int:
    return model.head_size


def attended(model: Model) -> int:
    """Numbers of all heads together."""
    return model.heads * model.head_size


def plain(rows: Callable[[Model], int]) -> Layout:
    """Lay out one tensor as it is."""
    return lambda model, names: (Run(names[0], 0, rows(model)),)


def vocabulary(model: Model, names: tuple[str, ...]) -> tuple[Run, ...]:
    """Lay out a row a token, then zeros up to a multiple of `vocab_multiple`."""
    assert model.vocab_size is not None
    padding = padded_vocabulary(model) - model.vocab_size
    return (Run(names[0], 0, model.vocab_size), *([Run(PADDING, 0, padding)] if padding else []))


def positions(model: Model) -> int:
    assert model.positions is not None
    return model.positions


def gated(model: Model, names: tuple[str, ...]) -> tuple[Run, ...]:
    """Lay out the gate, then what it multiplies."""
    return tuple(Run(name, 0, model.ffn_size) for name in names)


def grouped(model: Model, names: tuple[str, ...]) -> tuple[Run, ...]:
    """Lay out, for each key head, the query heads that attend to it, its key and its value.

    names: of q, k and v, or of one tensor that holds all q, all k, all v.
    """
    d, groups = model.head_size, model.key_heads
    q = model.heads // groups * d
    sizes = (q, d, d)
    starts = (0, 0, 0) if len(names) == 3 else (0, groups * q, groups * (q + d))
    names = names if len(names) == 3 else names * 3
    return tuple(
        Run(name, start + group * size, start + (group + 1) * size)
        for group in range(groups)
        for name, start, size in zip(names, starts, sizes, strict=True)
    )


def _of(names: str) -> tuple[str, ...]:
    return tuple("model.layers.{layer}." + name for name in names.split())


_ROPE = (
    Rule("embedding.word_embeddings.weight", ("model.embed_tokens.weight",), vocabulary, hidden),
    Rule(QKV + "layer_norm_weight", _of("input_layernorm.weight"), plain(hidden)),
    Rule(QKV + "weight", _of("self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight"),
         grouped, hidden),
    Rule(QKV + "bias", _of("self_attn.q_proj.bias self_attn.k_proj.bias self_attn.v_proj.bias"),
         grouped, when=lambda m: m.qkv_bias),
    Rule(ATTENTION + "q_layernorm.weight", _of("self_attn.q_norm.weight"), plain(head), when=lambda m: m.qk_norm),
    Rule(ATTENTION + "k_layernorm.weight", _of("self_attn.k_norm.weight"), plain(head), when=lambda m: m.qk_norm),
    Rule(ATTENTION + "linear_proj.weight", _of("self_attn.o_proj.weight"), plain(hidden), attended),
    Rule(ATTENTION + "linear_proj.bias", _of("self_attn.o_proj.bias"), plain(hidden), when=lambda m: m.bias),
    Rule(FC1 + "layer_norm_weight", _of("post_attention_layernorm.weight"), plain(hidden)),
)  # fmt: skip
_DENSE = (
    Rule(FC1 + "weight", _of("mlp.gate_proj.weight mlp.up_proj.weight"), gated, hidden),
    Rule(FC1 + "bias", _of("mlp.gate_proj.bias mlp.up_proj.bias"), gated, when=lambda m: m.bias),
    Rule(FC2 + "weight", _of("mlp.down_proj.weight"), plain(hidden), ffn),
    Rule(FC2 + "bias", _of("mlp.down_proj.bias"), plain(hidden), when=lambda m: m.bias),
)
_EXPERT = "block_sparse_moe.experts.{expert}."
_EXPERTS = (
    Rule(LAYER + "mlp.router.weight", _of("block_sparse_moe.gate.weight"), plain(lambda m: m.experts or 0), hidden),
    Rule(LAYER + EXPERTS + "linear_fc1.weight", _of(f"{_EXPERT}w1.weight {_EXPERT}w3.weight"), gated, hidden),
    Rule(LAYER + EXPERTS + "linear_fc2.weight", _of(f"{_EXPERT}w2.weight"), plain(hidden), ffn),
)
_ROPE_END = (
    Rule("decoder.final_layernorm.weight", ("model.norm.weight",), plain(hidden)),
    Rule(OUTPUT, ("lm_head.weight",), vocabulary, hidden, when=lambda m: not m.tied_embeddings),
)


def _gpt2(name: str) -> tuple[str, ...]:
    return ("transformer.h.{layer}." + name,)


# Hugging Face's GPT-2 keeps linear layers as (input, output): its Conv1D.
_GPT2 = (
    Rule("embedding.word_embeddings.weight", ("transformer.wte.weight",), vocabulary, hidden),
    Rule("embedding.position_embeddings.weight", ("transformer.wpe.weight",), plain(positions), hidden),
    Rule(QKV + "layer_norm_weight", _gpt2("ln_1.weight"), plain(hidden)),
    Rule(QKV + "layer_norm_bias", _gpt2("ln_1.bias"), plain(hidden)),
    Rule(QKV + "weight", _gpt2("attn.c_attn.weight"), grouped, hidden, transposed=True),
    Rule(QKV + "bias", _gpt2("attn.c_attn.bias"), grouped),
    Rule(ATTENTION + "linear_proj.weight", _gpt2("attn.c_proj.weight"), plain(hidden), attended,
         transposed=True),
    Rule(ATTENTION + "linear_proj.bias", _gpt2("attn.c_proj.bias"), plain(hidden)),
    Rule(FC1 + "layer_norm_weight", _gpt2("ln_2.weight"), plain(hidden)),
    Rule(FC1 + "layer_norm_bias", _gpt2("ln_2.bias"), plain(hidden)),
    Rule(FC1 + "weight", _gpt2("mlp.c_fc.weight"), plain(ffn), hidden, transposed=True),
    Rule(FC1 + "bias", _gpt2("mlp.c_fc.bias"), plain(ffn)),
    Rule(FC2 + "weight", _gpt2("mlp.c_proj.weight"), plain(hidden), ffn, transposed=True),
    Rule(FC2 + "bias", _gpt2("mlp.c_proj.bias"), plain(hidden)),
    Rule("decoder.final_layernorm.weight", ("transformer.ln_f.weight",), plain(hidden)),
    Rule("decoder.final_layernorm.bias", ("transformer.ln_f.bias",), plain(hidden)),
    Rule(OUTPUT, ("lm_head.weight",), vocabulary, hidden, when=lambda m: not m.tied_embeddings),
)  # fmt: skip

_LLAMA = (*_ROPE, *_DENSE, *_ROPE_END)
TABLES: dict[str, tuple[Rule, ...]] = {
    "llama": _LLAMA,
    "qwen2": _LLAMA,  # its rules of biases and of the norms of heads follow the model
    "qwen3": _LLAMA,
    "mixtral": (*_ROPE, *_EXPERTS, *_ROPE_END),
    "gpt2": _GPT2,
}


def table(model: Model, family: str, outputs: int = 0) -> Iterator[Matrix]:
    """Yield every matrix of a model, layer after layer: those of one tensor of experts follow each other.

    outputs: of the head that scores sequences, in the output layer's place; 0: the vocabulary.
    """
    rules = [rule for rule in TABLES[family] if rule.when(model)]
    if outputs:
        rules = [rule for rule in rules if rule.megatron != OUTPUT]
        rules.append(Rule(OUTPUT, (SCORE,), plain(lambda _: outputs), hidden))
    for name, repeated in (("first", False), ("layers", True), ("last", False)):
        inside = [rule for rule in rules if ("{layer}" in rule.megatron) == repeated]
        if not repeated:
            inside = [rule for rule in inside if rule.megatron.startswith("embedding.") == (name == "first")]
        for layer in range(model.layers if repeated else 1):
            for rule in inside:
                yield from _matrices(model, rule, layer)


def _matrices(model: Model, rule: Rule, layer: int) -> Iterator[Matrix]:
    stacked = EXPERTS in rule.megatron
    columns = None if rule.columns is None else rule.columns(model)
    for expert in range(model.experts or 0) if stacked else [None]:
        names = tuple(name.format(layer=layer, expert=expert) for name in rule.names)
        runs = rule.layout(model, names)
        yield Matrix(rule.megatron.format(layer=layer), runs, columns, expert, rule.transposed)


def canonical(key: str) -> str:
    """Return the name that tables use for a key of a checkpoint."""
    for ours, other in ALIASES.items():
        key = key.replace("." + other, "." + ours)
    return key
