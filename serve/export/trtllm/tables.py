"""Which Hugging Face tensors make up each of a rank's, one table a family.

Names and layouts are those of TensorRT-LLM 1.0 to 1.2: `tensorrt_llm/models/{llama,qwen,gpt}/convert.py`, and
`layers/moe.py` for experts. A layer's number starts anew at each pipeline stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pretrain.config import Model
from pretrain.hf.rows import PADDING, Run

LAYER = "transformer.layers.{layer}."
ATTENTION, MLP = LAYER + "attention.", LAYER + "mlp."


@dataclass(frozen=True)
class Share:
    """Which part of every layer a rank has."""

    tp: int
    rank: int  # of tp
    parallel_embedding: bool = True  # else every rank has all rows of the embeddings

    def of(self, count: int) -> tuple[int, int]:
        """Return from where to where the rank's part of `count` numbers goes, which tp divides."""
        return self.rank * count // self.tp, (self.rank + 1) * count // self.tp


Layout = Callable[[Model, Share, tuple[str, ...]], tuple[Run, ...]]
Columns = Callable[[Model, Share], tuple[int, int]]


@dataclass(frozen=True)
class Rule:
    """One line of a table: a name of TensorRT-LLM's, the Hugging Face names, rows and columns of a rank's part."""

    name: str
    sources: tuple[str, ...]
    layout: Layout
    columns: Columns | None = None  # None: a vector
    when: Callable[[Model], bool] = lambda model: True
    linear: bool = False  # of a layer that quantisation quantises
    transposed: bool = False  # Hugging Face keeps it as (input, output)
    dtype: str = ""  # where it is not that of the checkpoint
    alike: tuple[str, ...] = ()  # Hugging Face tensors of another layer that has the same scales


def whole(count: Callable[[Model], int]) -> Layout:
    """Lay out one tensor as it is, in every rank."""
    return lambda model, share, names: (Run(names[0], 0, count(model)),)


def split(count: Callable[[Model], int]) -> Layout:
    """Lay out the rank's part of each tensor, one after the other."""
    return lambda model, share, names: tuple(Run(name, *share.of(count(model))) for name in names)


def padded(count: Callable[[Model], int], embedding: bool = False) -> Layout:
    """Lay out the rank's part of rows that are padded by zeros to a multiple of tp."""

    def layout(model: Model, share: Share, names: tuple[str, ...]) -> tuple[Run, ...]:
        rows = count(model)
        if embedding and not share.parallel_embedding:
            return (Run(names[0], 0, rows),)
        start, stop = share.of(-(-rows // share.tp) * share.tp)
        real = Run(names[0], min(start, rows), min(stop, rows))
        padding = stop - start - real.rows
        return (*([real] if real.rows else []), *([Run(PADDING, 0, padding)] if padding else []))

    return layout


def heads(model: Model, share: Share, names: tuple[str, ...]) -> tuple[Run, ...]:
    """Lay out the rank's query heads, key heads, value heads. A key head that several ranks need is in each.

    names: of q, k and v, or of one tensor that holds all q, all k, all v.
    """
    d, keys = model.head_size, model.key_heads
    q = tuple(bound * d for bound in share.of(model.heads))
    first = share.rank * keys // share.tp
    k = (first * d, (first + max(1, keys // share.tp)) * d)
    if len(names) == 3:
        return tuple(Run(name, *bounds) for name, bounds in zip(names, (q, k, k), strict=True))
    starts = (0, model.heads * d, (model.heads + keys) * d)
    return tuple(Run(names[0], at + low, at + high) for at, (low, high) in zip(starts, (q, k, k), strict=True))


def hidden(model: Model) -> int:
    return model.hidden_size


def ffn(model: Model) -> int:
    return model.ffn_size


def head(model: Model) -> int:
    return model.head_size


def attended(model: Model) -> int:
    """Numbers of all heads together."""
    return model.heads * model.head_size


def vocabulary(model: Model) -> int:
    assert model.vocab_size is not None
    return model.vocab_size


def positions(model: Model) -> int:
    assert model.positions is not None
    return model.positions


def every(count: Callable[[Model], int]) -> Columns:
    return lambda model, share: (0, count(model))


def some(count: Callable[[Model], int]) -> Columns:
    return lambda model, share: share.of(count(model))


def _of(names: str) -> tuple[str, ...]:
    return tuple("model.layers.{layer}." + name for name in names.split())


def _biased(model: Model) -> bool:
    return model.bias


_ROPE = (
    Rule("transformer.vocab_embedding.weight", ("model.embed_tokens.weight",), padded(vocabulary, embedding=True),
         every(hidden)),
    Rule(LAYER + "input_layernorm.weight", _of("input_layernorm.weight"), whole(hidden)),
    Rule(ATTENTION + "qkv.weight", _of("self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight"),
         heads, every(hidden), linear=True),
    Rule(ATTENTION + "qkv.bias", _of("self_attn.q_proj.bias self_attn.k_proj.bias self_attn.v_proj.bias"), heads,
         when=lambda m: m.qkv_bias),
    Rule(ATTENTION + "q_layernorm.weight", _of("self_attn.q_norm.weight"), whole(head), when=lambda m: m.qk_norm),
    Rule(ATTENTION + "k_layernorm.weight", _of("self_attn.k_norm.weight"), whole(head), when=lambda m: m.qk_norm),
    Rule(ATTENTION + "dense.weight", _of("self_attn.o_proj.weight"), whole(hidden), some(attended), linear=True),
    # The bias of a layer whose input is split is added after the sum over ranks: every rank has all of it.
    Rule(ATTENTION + "dense.bias", _of("self_attn.o_proj.bias"), whole(hidden), when=_biased),
    Rule(LAYER + "post_layernorm.weight", _of("post_attention_layernorm.weight"), whole(hidden)),
)  # fmt: skip
_DENSE = (  # what is activated is "fc" there, what it multiplies is "gate"; both may be fused when an engine is built
    Rule(MLP + "fc.weight", _of("mlp.gate_proj.weight"), split(ffn), every(hidden), linear=True,
         alike=_of("mlp.up_proj.weight")),
    Rule(MLP + "fc.bias", _of("mlp.gate_proj.bias"), split(ffn), when=_biased),
    Rule(MLP + "gate.weight", _of("mlp.up_proj.weight"), split(ffn), every(hidden), linear=True,
         alike=_of("mlp.gate_proj.weight")),
    Rule(MLP + "gate.bias", _of("mlp.up_proj.bias"), split(ffn), when=_biased),
    Rule(MLP + "proj.weight", _of("mlp.down_proj.weight"), whole(hidden), some(ffn), linear=True),
    Rule(MLP + "proj.bias", _of("mlp.down_proj.bias"), whole(hidden), when=_biased),
)  # fmt: skip
_MOE = "block_sparse_moe.experts.{expert}."
_EXPERTS = (  # stacked over experts; here what is activated comes last
    Rule(MLP + "router.weight", _of("block_sparse_moe.gate.weight"), whole(lambda m: m.experts or 0), every(hidden),
         dtype="float32"),
    Rule(MLP + "fc.weight", _of(f"{_MOE}w3.weight {_MOE}w1.weight"), split(ffn), every(hidden), linear=True),
    Rule(MLP + "proj.weight", _of(f"{_MOE}w2.weight"), whole(hidden), some(ffn), linear=True),
)  # fmt: skip


def _end(norm: str, embedding: str, bias: bool = False) -> tuple[Rule, ...]:
    """Return the last stage's rules. A tied head is written too: the last rank may have no embedding."""
    parts = ("weight", "bias") if bias else ("weight",)
    return (
        *(Rule(f"transformer.ln_f.{part}", (f"{norm}.{part}",), whole(hidden)) for part in parts),
        Rule("lm_head.weight", ("lm_head.weight",), padded(vocabulary), every(hidden),
             when=lambda m: not m.tied_embeddings),
        Rule("lm_head.weight", (embedding,), padded(vocabulary), every(hidden), when=lambda m: m.tied_embeddings),
    )  # fmt: skip


def _gpt2(name: str) -> tuple[str, ...]:
    return ("transformer.h.{layer}." + name,)


_GPT2 = (
    Rule("transformer.vocab_embedding.weight", ("transformer.wte.weight",), padded(vocabulary, embedding=True),
         every(hidden)),
    Rule("transformer.position_embedding.weight", ("transformer.wpe.weight",), padded(positions, embedding=True),
         every(hidden)),
    Rule(LAYER + "input_layernorm.weight", _gpt2("ln_1.weight"), whole(hidden)),
    Rule(LAYER + "input_layernorm.bias", _gpt2("ln_1.bias"), whole(hidden)),
    Rule(ATTENTION + "qkv.weight", _gpt2("attn.c_attn.weight"), heads, every(hidden), linear=True, transposed=True),
    Rule(ATTENTION + "qkv.bias", _gpt2("attn.c_attn.bias"), heads),
    Rule(ATTENTION + "dense.weight", _gpt2("attn.c_proj.weight"), whole(hidden), some(attended), linear=True,
         transposed=True),
    Rule(ATTENTION + "dense.bias", _gpt2("attn.c_proj.bias"), whole(hidden)),
    Rule(LAYER + "post_layernorm.weight", _gpt2("ln_2.weight"), whole(hidden)),
    Rule(LAYER + "post_layernorm.bias", _gpt2("ln_2.bias"), whole(hidden)),
    Rule(MLP + "fc.weight", _gpt2("mlp.c_fc.weight"), split(ffn), every(hidden), linear=True, transposed=True),
    Rule(MLP + "fc.bias", _gpt2("mlp.c_fc.bias"), split(ffn)),
    Rule(MLP + "proj.weight", _gpt2("mlp.c_proj.weight"), whole(hidden), some(ffn), linear=True, transposed=True),
    Rule(MLP + "proj.bias", _gpt2("mlp.c_proj.bias"), whole(hidden)),
    *_end("transformer.ln_f", "transformer.wte.weight", bias=True),
)  # fmt: skip

_END = _end("model.norm", "model.embed_tokens.weight")
TABLES: dict[str, tuple[Rule, ...]] = {
    "llama": (*_ROPE, *_DENSE, *_END),
    "qwen2": (*_ROPE, *_DENSE, *_END),
    "qwen3": (*_ROPE, *_DENSE, *_END),
    "mixtral": (*_ROPE, *_EXPERTS, *_END),
    "gpt2": _GPT2,
}
