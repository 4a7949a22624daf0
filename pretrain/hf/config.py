"""config.json of a Hugging Face folder <-> the model of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import ConfigError, StorageError
from pretrain.config import Model, RopeScaling
from pretrain.errors import WeightsError

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "gpt2": "GPT2LMHeadModel",
}
# What a config.json that leaves a field out means by it, where that is not None (transformers 5.24).
_ROPE_DEFAULTS = {
    "hidden_act": "silu", "initializer_range": 0.02, "rms_norm_eps": 1e-6, "rope_theta": 10_000.0,
    "tie_word_embeddings": False, "attention_dropout": 0.0,
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": _ROPE_DEFAULTS,
    "qwen2": _ROPE_DEFAULTS,
    "qwen3": {**_ROPE_DEFAULTS, "head_dim": 128},
    "mixtral": {**_ROPE_DEFAULTS, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "num_experts_per_tok": 2,
                "router_aux_loss_coef": 0.001},
    "gpt2": {"activation_function": "gelu_new", "initializer_range": 0.02, "layer_norm_epsilon": 1e-5,
             "tie_word_embeddings": True, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
             "scale_attn_weights": True},
}  # fmt: skip
# Fields that change what a model computes, in ways that Model has no field for: (what they may be, else None).
_ONLY: dict[str, tuple[Any, ...]] = {
    "quantization_config": (),
    "partial_rotary_factor": (1.0,),
    "router_jitter_noise": (0.0,),
    "add_cross_attention": (False,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
}
_GELU = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}


class _Given:
    """The fields of a config.json, with the family's defaults; it names the file in every complaint."""

    def __init__(self, url: str, family: str, values: Mapping[str, Any]):
        self.url, self.family = url, family
        self.values = {**DEFAULTS[family], **{k: v for k, v in values.items() if v is not None}}

    def get(self, name: str) -> Any:
        return self.values.get(name)

    def number(self, name: str, kind: type) -> Any:
        """Return a field that must be there, as an int or a float."""
        value = self.get(name)
        allowed = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise self.error(
                name, value, f"a {self.family} model needs {'a whole number' if kind is int else 'a number'}"
            )
        return kind(value)

    def error(self, name: str, value: Any, expected: str) -> WeightsError:
        return WeightsError(f"{self.url}: {name} is {value!r}; {expected}")


def read_family(folder: str) -> str:
    """Return the family of a Hugging Face folder. Raises WeightsError where it is none of ARCHITECTURES."""
    return _read(folder).family


def _read(folder: str) -> _Given:
    url = storage.join(folder, "config.json")
    try:
        values = storage.read_json(url)
    except StorageError as error:
        raise WeightsError(f"{folder} is no Hugging Face folder: {error}") from None
    family = values.get("model_type") if isinstance(values, dict) else None
    if family not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise WeightsError(
            f"{url}: model_type is {family!r}; known: {known}.{did_you_mean(str(family), ARCHITECTURES)}"
        )
    return _Given(url, family, values)


def read_config(folder: str) -> Model:
    """Return the model a Hugging Face folder describes.

    Raises WeightsError, naming the field, where the model computes something that Model cannot say: a sliding
    window in use, another kind of rotary positions or activation, biases in some linear layers only, ...
    """
    given = _read(folder)
    for name, allowed in _ONLY.items():
        value = given.get(name)
        if value is not None and value not in allowed:
            raise given.error(name, value, f"this model can only have {allowed[0]!r}" if allowed else "it is not known")
    fields = _gpt2_fields(given) if given.family == "gpt2" else _rope_fields(given)
    try:
        return Model(**fields)
    except ConfigError as error:
        raise WeightsError(f"{given.url}: {error}") from None


def _gpt2_fields(given: _Given) -> dict[str, Any]:
    activation = given.get("activation_function")
    if activation not in _GELU:
        raise given.error("activation_function", activation, f"known for GPT-2: {', '.join(_GELU)}")
    dropouts = {given.number(name, float) for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
    if len(dropouts) > 1:
        raise given.error("resid_pdrop", given.get("resid_pdrop"), "embd_pdrop and attn_pdrop must be the same")
    hidden = given.number("n_embd", int)
    return {
        "layers": given.number("n_layer", int), "hidden_size": hidden, "heads": given.number("n_head", int),
        "ffn_size": given.number("n_inner", int) if given.get("n_inner") else 4 * hidden,
        "vocab_size": given.number("vocab_size", int), "positions": given.number("n_positions", int),
        "norm": "layer", "norm_eps": given.number("layer_norm_epsilon", float), "activation": _GELU[activation],
        "position_embedding": "learned", "tied_embeddings": bool(given.get("tie_word_embeddings")),
        "qkv_bias": True, "bias": True, "dropout": dropouts.pop(),
        "init_std": given.number("initializer_range", float),
    }  # fmt: skip


def _rope_fields(given: _Given) -> dict[str, Any]:
    if given.get("hidden_act") not in ("silu", "swish"):
        raise given.error("hidden_act", given.get("hidden_act"), "known: silu")
    if given.number("attention_dropout", float):
        raise given.error(
            "attention_dropout", given.get("attention_dropout"), "this model drops hidden states too, or nothing: 0.0"
        )
    _refuse_sliding_window(given)
    theta, scaling = _rope(given)
    heads = given.number("num_attention_heads", int)
    fields = {
        "layers": given.number("num_hidden_layers", int), "hidden_size": given.number("hidden_size", int),
        "heads": heads, "ffn_size": given.number("intermediate_size", int),
        "kv_heads": given.number("num_key_value_heads", int) if given.get("num_key_value_heads") else heads,
        "head_dim": given.get("head_dim") and given.number("head_dim", int),
        "vocab_size": given.number("vocab_size", int), "positions": given.number("max_position_embeddings", int),
        "norm_eps": given.number("rms_norm_eps", float), "rope_theta": theta, "rope_scaling": scaling,
        "tied_embeddings": bool(given.get("tie_word_embeddings")),
        "init_std": given.number("initializer_range", float), "qk_norm": given.family == "qwen3",
        **_biases(given),
    }  # fmt: skip
    if given.family == "mixtral":
        fields |= {
            "experts": given.number("num_local_experts", int),
            "experts_per_token": given.number("num_experts_per_tok", int),
            "aux_loss": given.number("router_aux_loss_coef", float),
        }
    return fields


def _biases(given: _Given) -> dict[str, bool]:
    if given.family == "qwen2":
        return {"qkv_bias": True, "bias": False}
    attention, mlp = bool(given.get("attention_bias")), bool(given.get("mlp_bias"))
    if attention and given.family != "llama":
        raise given.error("attention_bias", True, f"a {given.family} model with it is not known")
    if attention != mlp:
        raise given.error("attention_bias", attention, f"mlp_bias is {mlp}; both or neither can be had")
    return {"qkv_bias": attention, "bias": mlp}


def _refuse_sliding_window(given: _Given) -> None:
    """Refuse a window that some layer uses. Llama and Mixtral without the field have none; Qwen has a switch."""
    kinds = given.get("layer_types")
    if kinds is not None:
        other = sorted(set(map(str, kinds)) - {"full_attention"})
        if other:
            raise given.error("layer_types", other[0], "known: full_attention")
        return
    window = given.get("sliding_window")
    if given.family in ("qwen2", "qwen3"):
        first = given.get("max_window_layers")
        if not given.get("use_sliding_window") or (
            first is not None and first >= given.number("num_hidden_layers", int)
        ):
            return
    if window is not None and window < given.number("max_position_embeddings", int):
        raise given.error("sliding_window", window, "attention to a window is not known; null, or not less than "
                          f"max_position_embeddings {given.get('max_position_embeddings')}")  # fmt: skip


def _rope(given: _Given) -> tuple[float, RopeScaling | None]:
    """Return (theta, scaling) from either spelling: rope_parameters, or rope_theta and rope_scaling."""
    name = "rope_scaling" if given.get("rope_scaling") else "rope_parameters"
    values = given.get(name) or {}
    if not isinstance(values, dict):
        raise given.error(name, values, "it must be a mapping")
    kind = values.get("rope_type", values.get("type", "default"))
    theta = values.get("rope_theta", given.get("rope_theta"))
    if kind not in ("default", "llama3"):
        raise given.error(f"{name}.rope_type", kind, "known: default, llama3")
    if values.get("partial_rotary_factor", 1.0) != 1.0:
        raise given.error(f"{name}.partial_rotary_factor", values["partial_rotary_factor"], "known: 1.0")
    if not isinstance(theta, int | float):
        raise given.error("rope_theta", theta, "it must be a number")
    if kind == "default":
        return float(theta), None
    missing = [n for n in ("factor", "low_freq_factor", "high_freq_factor") if n not in values]
    if missing:
        raise WeightsError(f"{given.url}: {name} of type llama3 has no {', '.join(missing)}")
    return float(theta), RopeScaling(
        factor=float(values["factor"]), low_freq_factor=float(values["low_freq_factor"]),
        high_freq_factor=float(values["high_freq_factor"]),
        original_positions=int(values.get("original_max_position_embeddings", given.get("max_position_embeddings"))),
    )  # fmt: skip


def family_of(model: Model) -> str:
    """Return the family a model can be written as. Raises WeightsError, with the fields that stand in its way."""
    if model.position_embedding == "learned":
        family = "gpt2"
        fixed = {"norm": "layer", "bias": True, "qkv_bias": True, "qk_norm": False, "experts": None,
                 "rope_scaling": None, "key_heads": model.heads}  # fmt: skip
    else:
        family = "mixtral" if model.experts else "qwen3" if model.qk_norm else "qwen2" if model.qkv_bias else "llama"
        if family == "qwen2" and model.bias:
            family = "llama"
        fixed = {"norm": "rms", "activation": "swiglu", "qk_norm": family == "qwen3"}
        fixed |= {"bias": model.qkv_bias} if family == "llama" else {"bias": False, "qkv_bias": family == "qwen2"}
    if family in ("gpt2", "qwen2"):
        fixed["head_size"] = model.hidden_size / model.heads
    wrong = [f"{name} {getattr(model, name)!r}" for name, value in fixed.items() if getattr(model, name) != value]
    if family == "gpt2" and model.activation == "swiglu":
        wrong.append("activation 'swiglu'")
    if wrong:
        raise WeightsError(
            f"no Hugging Face family has this model: {ARCHITECTURES[family]} is nearest, "
            f"but cannot have {', '.join(wrong)}"
        )
    return family


def config_json(model: Model, dtype: str, end_of_document: int | None) -> dict[str, Any]:
    """Return the config.json of a model whose vocabulary and positions are known; rotary positions in both spellings.

    dtype: float32, bfloat16 or float16. end_of_document: the id after which generation stops.
    Raises WeightsError as `family_of` does.
    """
    family = family_of(model)
    if model.vocab_size is None or model.positions is None:
        raise WeightsError("a model is written once model.vocab_size and model.positions are known")
    written = {
        "model_type": family, "architectures": [ARCHITECTURES[family]], "vocab_size": model.vocab_size,
        "initializer_range": model.init_std, "tie_word_embeddings": model.tied_embeddings, "torch_dtype": dtype,
        "use_cache": True, "bos_token_id": None, "eos_token_id": end_of_document, "pad_token_id": None,
    }  # fmt: skip
    return written | (_gpt2_json(model) if family == "gpt2" else _rope_json(model, family))


def _gpt2_json(model: Model) -> dict[str, Any]:
    return {
        "n_layer": model.layers, "n_embd": model.hidden_size, "n_head": model.heads, "n_inner": model.ffn_size,
        "n_positions": model.positions, "layer_norm_epsilon": model.norm_eps,
        "activation_function": "gelu_new" if model.activation == "gelu_tanh" else "gelu",
        "resid_pdrop": model.dropout, "embd_pdrop": model.dropout, "attn_pdrop": model.dropout,
    }  # fmt: skip


def _rope_json(model: Model, family: str) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default"}
    if model.rope_scaling is not None:
        scaling = model.rope_scaling
        rope = {
            "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions,
        }  # fmt: skip
    written: dict[str, Any] = {
        "num_hidden_layers": model.layers, "hidden_size": model.hidden_size, "num_attention_heads": model.heads,
        "num_key_value_heads": model.key_heads, "intermediate_size": model.ffn_size, "hidden_act": "silu",
        "max_position_embeddings": model.positions, "rms_norm_eps": model.norm_eps,
        "attention_dropout": 0.0,  # no field for hidden states; how a model was trained is not what it computes
        "rope_theta": model.rope_theta, "rope_scaling": rope if model.rope_scaling else None,
        "rope_parameters": {**rope, "rope_theta": model.rope_theta},
    }  # fmt: skip
    if family != "qwen2":
        written["head_dim"] = model.head_size
    if family in ("llama", "qwen3"):
        written["attention_bias"] = model.qkv_bias
    if family == "llama":
        written["mlp_bias"] = model.bias
    if family in ("qwen2", "qwen3"):
        written |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": model.layers}
    if family == "mixtral":
        written |= {
            "num_local_experts": model.experts, "num_experts_per_tok": model.experts_per_token,
            "router_aux_loss_coef": model.aux_loss, "sliding_window": None,
        }  # fmt: skip
    return written
