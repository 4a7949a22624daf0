"""Models from Hugging Face folders, with the head that is wanted and nothing made up silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from align.backends.hf import attention as attentions
from align.backends.settings import PolicySettings
from align.errors import ModelError
from millrace import storage

HEADS = ("lm_head.", "score.", "classifier.", "v_head.", "embed_out.")  # that another use of the same model has


def read_config(folder: str) -> Any:
    """Return the transformers configuration of a folder. Raises ModelError where there is none."""
    from transformers import AutoConfig

    if not storage.exists(folder):
        raise ModelError(f"the model's folder {folder} does not exist")
    there = storage.list_folder(folder)
    if "config.json" not in there:
        holds = ", ".join(there) or "nothing"
        raise ModelError(f"{folder} is no Hugging Face folder: it has no config.json, but holds {holds}")
    refuse_quantised(folder)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{folder}/config.json: {_line(error)}") from None


def refuse_quantised(folder: str, trained: bool = False) -> None:
    """Raise ModelError for a folder whose scales transformers ignores without a word: ModelOpt's.

    It would compute with weights up to 448 (measured: a cosine of logits of 0.04). trained: for any quantised folder
    but bitsandbytes', whose layers cannot learn.
    """
    told = storage.read_json(storage.join(folder, "config.json"))
    named = (told.get("quantization_config") or {}) if isinstance(told, dict) else {}
    method = str(named.get("quant_method", "an unnamed method")) if named else ""
    if not method and storage.exists(storage.join(folder, "hf_quant_config.json")):
        method = "modelopt"  # whose older versions left config.json as it was
    if method == "modelopt" or (trained and method not in ("", "bitsandbytes")):
        why = "such weights do not learn" if trained else "whose scales transformers does not read"
        raise ModelError(
            f"{folder} is quantised by {method}, {why}: TensorRT-LLM, vLLM or SGLang serve it; name what it was made of"
        )


def open_model(settings: PolicySettings, dtype: torch.dtype, device: torch.device, weights: bool) -> Any:
    """Return the transformers model of a folder, on the CPU; without weights (device "meta") for ranks that get them.

    Raises ModelError where config.json does not describe the weights: where one is missing, unknown or of another
    shape. A scoring head that the folder lacks is drawn anew, by settings.seed.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    folder, config = settings.start_from, read_config(settings.start_from)
    refuse_quantised(folder, trained=settings.optimizer is not None)
    kind: Any = AutoModelForCausalLM
    if settings.head != "lm":
        kind, config.num_labels = AutoModelForSequenceClassification, settings.outputs
    try:
        concrete = kind._model_mapping[type(config)]
    except KeyError:
        raise ModelError(
            f"{folder}: transformers has no {config.model_type} model with head {settings.head!r}"
        ) from None
    attention = attentions.choose(concrete, config, device, dtype)
    if not weights:
        with torch.device("meta"), _seeded(settings.seed):
            return kind.from_config(config, attn_implementation=attention, dtype=dtype)
    try:
        with _seeded(settings.seed), quiet():
            model, found = kind.from_pretrained(
                folder, config=config, dtype=dtype, local_files_only=True, attn_implementation=attention,
                output_loading_info=True, **_quantization(settings, dtype),
            )  # fmt: skip
    except (ValueError, KeyError, OSError, RuntimeError, ImportError) as error:
        raise ModelError(f"{folder}: {_line(error)}") from None
    _check(found, folder, settings)
    return model


def _check(found: dict[str, Any], folder: str, settings: PolicySettings) -> None:
    may_lack = HEADS if settings.head != "lm" else ()
    missing = sorted(name for name in found["missing_keys"] if not name.startswith(may_lack))
    unknown = sorted(name for name in found["unexpected_keys"] if not name.startswith(HEADS))
    if missing:
        why = " It is a reward model: head lm needs a language model." if missing == ["lm_head.weight"] else ""
        raise ModelError(f"{folder} lacks {len(missing)} tensors of its model, the first is {missing[0]}.{why}")
    if unknown:
        raise ModelError(f"{folder} has {len(unknown)} tensors its model does not use, the first is {unknown[0]}")
    if found.get("mismatched_keys"):
        raise ModelError(f"{folder}: {sorted(found['mismatched_keys'])[0]} has another shape than config.json says")


def _quantization(settings: PolicySettings, dtype: torch.dtype) -> dict[str, Any]:
    """Return what opens a 4-bit base (QLoRA, arXiv:2305.14314: NF4, scales quantised too), where it is wanted."""
    if settings.model.peft is None or settings.model.peft.kind != "qlora":
        return {}
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise ModelError("peft kind qlora needs bitsandbytes, which is not installed: pip install bitsandbytes")
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    }


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing what is checked here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
