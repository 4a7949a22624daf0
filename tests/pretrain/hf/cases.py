"""What ranks do in the tests of this folder: transformers beside Megatron, in processes of their own."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from pretrain.batch import Batch
from pretrain.config import Config
from pretrain.hf.weights import Tokenizer
from tests.pretrain.hf.models import LENGTH, MODELS, VOCABULARY
from tests.pretrain.mcore.cases import config

TEXT = "Corn  is ground at 7 mills;\n\tnaïve Müller said: don't!"


def settings(name: str, **sections: dict[str, Any]) -> Config:
    return dataclasses.replace(config(**sections), model=MODELS[name][2])


def batch(rows: int = 3) -> Batch:
    """Return rows of one document each; the last token has no label."""
    tokens = np.random.default_rng(5).integers(0, VOCABULARY, (rows, LENGTH))
    labels = np.roll(tokens, -1, axis=1)
    weights = np.ones(tokens.shape, np.float32)
    labels[:, -1] = weights[:, -1] = 0
    positions = np.broadcast_to(np.arange(LENGTH), tokens.shape).copy()
    return Batch(tokens, labels, weights, positions, np.arange(rows + 1, dtype=np.int32) * LENGTH, np.arange(rows))


def originals(folder: str) -> dict[str, Any]:
    """Save a random model of every family with transformers; return name -> (logits, loss)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    answers = {}
    for name, (family, fields, _) in MODELS.items():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **fields)).float().eval()
        with torch.no_grad():
            for parameter in model.parameters():  # transformers begins with biases 0 and norms 1, which hide mistakes
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(f"{folder}/{name}", max_shard_size="100KB" if name == "llama" else "5GB")
        answers[name] = answer(model)
    return answers


def answer(model: Any) -> tuple[Any, float]:
    import torch

    tokens = torch.from_numpy(batch().tokens)
    with torch.no_grad():
        out = model(tokens, labels=tokens)
    return out.logits, out.loss.item()


def fill(engine: Any, folder: str) -> None:
    from pretrain.hf.weights import import_weights
    from pretrain.mcore.model import places, sharded

    model = engine.settings.model
    for chunk in engine.models:
        import_weights(folder, model, sharded(places(chunk.module)))


def save(engine: Any, folder: str, metadata: dict[str, Any] | None) -> None:
    from megatron.core import dist_checkpointing

    Path(folder).mkdir(exist_ok=True)
    dist_checkpointing.save(engine.models[0].module.sharded_state_dict(metadata=metadata), folder)


def alone(folder: str) -> dict[str, dict[str, float]]:
    """Import every family's original into one process and save it, layers stacked as Megatron's default has it.

    Returns, for each, how far logits (before and after the import) and loss are from transformers'.
    """
    import torch

    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    expected = originals(f"{folder}/original")
    torch.save({name: logits for name, (logits, _) in expected.items()}, f"{folder}/logits")
    found: dict[str, dict[str, float]] = {}
    for number, (name, (logits, loss)) in enumerate(expected.items()):
        made = settings(name)
        (state.groups if number else state.start)(made)
        engine = Engine(made)
        fresh = engine.logits(batch())
        fill(engine, f"{folder}/original/{name}")
        ours, (total, count) = engine.logits(batch()), engine.evaluate([batch()])
        save(engine, f"{folder}/stacked-{number}", None)
        found[name] = {
            "fresh": (fresh - logits).abs().max().item(),
            "logits": (ours - logits).abs().max().item(),
            "loss": abs(total / count - loss),
        }
    return found


def tokenizer() -> Tokenizer:
    """Return a byte-level BPE of VOCABULARY tokens, as curation makes them; 499 ends documents."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    made = Library(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 1, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([TEXT, "".join(f"{n} grain of {n * 7}; " for n in range(500))], trainer)
    made.add_special_tokens(["<|endoftext|>"])
    end = made.token_to_id("<|endoftext|>")
    return Tokenizer(made.to_str().encode(), end)


def loaded(folder: str) -> dict[str, dict[str, Any]]:
    """Load every exported folder with transformers; return what it complained of and how far logits are off.

    In a process of its own, as those who use the folders do, without Megatron and the CPU shim.
    """
    import tokenizers
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("transformers").addHandler(handler)
    expected, found = torch.load(f"{folder}/logits"), {}
    for number, (name, logits) in enumerate(expected.items()):
        said.clear()
        place = f"{folder}/exported-{number}"
        model, info = AutoModelForCausalLM.from_pretrained(place, output_loading_info=True)
        token, auto = PreTrainedTokenizerFast.from_pretrained(place), AutoTokenizer.from_pretrained(place)
        plain = tokenizers.Tokenizer.from_file(f"{place}/tokenizer.json")
        found[name] = {
            "said": list(said),
            "keys": {key: sorted(map(str, value)) for key, value in info.items() if value},
            "logits": (answer(model.eval())[0] - logits).abs().max().item(),
            "ids": [token(TEXT)["input_ids"], plain.encode(TEXT).ids],
            "auto": auto(TEXT)["input_ids"],
            "text": token.decode(token(TEXT)["input_ids"]),
            "ends": [token.eos_token_id, model.generation_config.eos_token_id, model.config.eos_token_id],
        }
    return found


SPLITS: dict[str, tuple[str, dict[str, Any]]] = {
    "tensor": ("llama, scaled, tied, biased", {"tensor": 2}),
    "tensor, sequence": ("qwen3", {"tensor": 2, "sequence": True}),
    "pipeline": ("qwen2", {"pipeline": 2}),
    "expert": ("mixtral", {"expert": 2}),
    "learned positions, tensor": ("gpt2", {"tensor": 2}),
}


def spread(folder: str) -> None:
    """Import into two ranks under every split and save what they hold."""
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    for number, (name, parallel) in enumerate(SPLITS.values()):
        made = settings(name, parallel=parallel)
        (state.groups if number else state.start)(made)
        engine = Engine(made)
        fill(engine, f"{folder}/original/{name}")
        save(engine, f"{folder}/split-{number}", {"non_homogeneous_layers": True})
