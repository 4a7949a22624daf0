"""How large a model is: parameters, of a rank too, and floating-point operations a token. Exact arithmetic.

Names as in the papers: h hidden size, d head size, f width of the feed-forward layer, E experts.
"""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.config import Model


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters, each part over all layers."""

    embedding: int  # of tokens, and of positions where they are learned
    attention: int  # norms of heads among them
    mlp: int  # dense feed-forward layers; of a mixture of experts the routers
    experts: int
    norms: int
    output: int  # 0 with tied embeddings, except on a pipeline's last rank, which holds a copy

    @property
    def total(self) -> int:
        return self.dense + self.experts

    @property
    def dense(self) -> int:
        """All but experts: what every rank of a data-parallel group holds alike."""
        return self.embedding + self.attention + self.mlp + self.norms + self.output


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of a token, forward and backward, without any recomputation."""

    matmuls: int  # 6 a weight that a token meets (Kaplan et al. 2020, section 2.1); the embedding is looked up
    attention: int

    @property
    def total(self) -> int:
        return self.matmuls + self.attention


def padded_vocabulary(model: Model) -> int:
    """Return the rows of the embedding: the vocabulary, up to a multiple of `vocab_multiple`."""
    assert model.vocab_size is not None
    return -(-model.vocab_size // model.vocab_multiple) * model.vocab_multiple


def parameters(model: Model) -> Parameters:
    """Return the parameters of the model as it is published: the vocabulary is not padded."""
    assert model.vocab_size is not None
    return _parameters(model, model.vocab_size, model.layers)


def rank_parameters(model: Model, tensor: int = 1, pipeline: int = 1, expert: int = 1, stage: int = 0) -> Parameters:
    """Return what one rank of a pipeline stage holds, padding of the vocabulary among it.

    Tensor parallelism cuts attention, feed-forward layers and the vocabulary; norms, routers, learned positions
    and the biases of layers that end a cut are whole on every rank. Experts are spread over `expert` ranks and
    not cut. The first stage holds the embedding, the last one the last norm and the output.
    """
    whole = _parameters(model, padded_vocabulary(model), model.layers // pipeline, tensor, expert)
    first, last = stage == 0, stage == pipeline - 1
    copy = padded_vocabulary(model) // tensor * model.hidden_size if model.tied_embeddings and pipeline > 1 else 0
    return Parameters(
        embedding=whole.embedding if first else 0,
        attention=whole.attention,
        mlp=whole.mlp,
        experts=whole.experts,
        norms=whole.norms - (0 if last else _norm(model)),
        output=(whole.output or copy) if last else 0,
    )


def _parameters(model: Model, vocabulary: int, layers: int, tensor: int = 1, expert: int = 1) -> Parameters:
    h, queries, keys = model.hidden_size, model.heads * model.head_size, model.key_heads * model.head_size
    qkv = h * (queries + 2 * keys) + (queries + 2 * keys if model.bias or model.qkv_bias else 0)
    attention = (qkv + queries * h) // tensor + (h if model.bias else 0)
    if model.qk_norm:
        attention += 2 * model.head_size * _vectors(model)
    up = _up(model)
    cut, whole = h * up + model.ffn_size * h + (up if model.bias else 0), h if model.bias else 0
    words = vocabulary // tensor * h
    positions = (model.positions or 0) * h if model.position_embedding == "learned" else 0
    return Parameters(
        embedding=words + positions,
        attention=layers * attention,
        mlp=layers * (h * model.experts if model.experts else cut // tensor + whole),
        experts=layers * (model.experts // expert) * (cut + whole) if model.experts else 0,
        norms=(2 * layers + 1) * _norm(model),
        output=0 if model.tied_embeddings else words,
    )


def _up(model: Model) -> int:
    """Return the width of the first feed-forward matrix: SwiGLU has a gate beside it (Shazeer 2020)."""
    return model.ffn_size * (2 if model.activation == "swiglu" else 1)


def _vectors(model: Model) -> int:
    return 1 if model.norm == "rms" else 2  # weight; and bias


def _norm(model: Model) -> int:
    return model.hidden_size * _vectors(model)


def active_weights(model: Model) -> int:
    """Return the weights of all matrix products a token passes through: of experts those it is routed to."""
    assert model.vocab_size is not None
    h, queries, keys = model.hidden_size, model.heads * model.head_size, model.key_heads * model.head_size
    feed_forward = h * _up(model) + model.ffn_size * h
    if model.experts:
        feed_forward = feed_forward * model.experts_per_token + h * model.experts
    return model.layers * (h * (2 * queries + 2 * keys) + feed_forward) + model.vocab_size * h


def flops_per_token(model: Model, seq_length: int) -> Flops:
    """Return the model FLOPs of a token, for MFU.

    6 N + 12 L H Q T, as PaLM (arXiv:2204.02311, appendix B) and, without its recomputation, Megatron (Narayanan
    et al. 2021, equation 3) count: attention is NOT halved for being causal, though the kernels here skip the other
    half. Packed documents shorten attention further: on rows of many documents the attention term counts work that
    is not done, and MFU is too high by its share of it at most. N leaves out biases, norms, and the padding of the
    vocabulary; of a mixture of experts it counts the active ones.
    """
    return Flops(
        matmuls=6 * active_weights(model),
        attention=12 * model.layers * model.heads * model.head_size * seq_length,
    )
