"""Tiny models of each family as folders, and what an engine tells gathered."""

import threading

import numpy as np
import torch

from serve.engine.opening import open_engine
from serve.engine.settings import EngineSettings
from serve.model import find

VOCABULARY = 61
SMALL = {"max_batch": 8, "step_tokens": 16, "block_tokens": 4, "blocks": 64}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip


def make(path, family="llama", head="lm", seed=0, **changes):
    """Write a folder with a model of random weights, biases and norms among them; return the folder."""
    import transformers

    rope = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96, "initializer_range": 0.2,
        "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    if family == "gpt2":
        rope = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96,
                "initializer_range": 0.2, "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0}  # fmt: skip
    kinds = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "mixtral": "Mixtral", "gpt2": "GPT2"}
    if family == "mixtral":
        rope["num_local_experts"] = 4
    config = getattr(transformers, kinds[family] + "Config")(**rope | changes)
    if head == "reward":
        config.num_labels = changes.get("num_labels", 1)
    kind = transformers.AutoModelForCausalLM if head == "lm" else transformers.AutoModelForSequenceClassification
    torch.manual_seed(seed)
    model = kind.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(path)
    return str(path)


def open_small(folder, adapters=None, **settings):
    return open_engine(find(folder), EngineSettings(**SMALL | settings), adapters)


class Heard:
    """What was told of one completion."""

    def __init__(self):
        self.told, self.ended = [], threading.Event()

    def __call__(self, told):
        assert not self.ended.is_set(), "told after the finish"
        self.told.append(told)
        if told.finish is not None:
            self.ended.set()

    def wait(self):
        assert self.ended.wait(60), "not ended in a minute"
        return self

    @property
    def tokens(self):
        return [token.id for told in self.told for token in told.tokens]

    @property
    def logprobs(self):
        return [token.logprob for told in self.told for token in told.tokens]

    @property
    def prompt(self):
        return [token for told in self.told for token in told.prompt]

    @property
    def finish(self):
        return self.told[-1].finish

    @property
    def error(self):
        return self.told[-1].error


def complete(engine, wanted):
    """Submit all at once and wait for all."""
    heard = [Heard() for _ in wanted]
    for one, ear in zip(wanted, heard):
        engine.submit(one, ear)
    return [ear.wait() for ear in heard]


def prompts(count, seed=0, shortest=1, longest=30):
    random = np.random.default_rng(seed)
    return [random.integers(0, VOCABULARY, random.integers(shortest, longest + 1)) for _ in range(count)]
