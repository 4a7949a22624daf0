import json

import numpy as np
import pytest
import torch

from serve.engine.request import Drawing, Wanted
from serve.errors import ModelFolderError
from tests.serve.engine import models
from tests.serve.engine.models import complete, open_small

GREEDY = Drawing(temperature=0)


def adapter(folder, path, seed=0, **changes):
    """Write a LoRA adapter of random weights as peft does, and the merged model; return both folders."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(folder)
    gpt2 = base.config.model_type == "gpt2"
    lora = {"r": 3, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", "fan_in_fan_out": gpt2}
    made = get_peft_model(base, LoraConfig(**lora | changes))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)
    made.save_pretrained(path / "adapter")
    made.merge_and_unload().save_pretrained(path / "merged")
    return str(path / "adapter"), str(path / "merged")


def told(engine, prompts, adapters):
    return complete(
        engine,
        [Wanted(prompt, 6, GREEDY, adapter=name, prompt_logprobs=True) for prompt, name in zip(prompts, adapters)],
    )


def logprobs(heard):
    return [token.logprob for token in heard.prompt[1:]] + heard.logprobs


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_of_one_batch_answer_as_the_merged_models_do(family, tmp_path):
    folder = models.make(tmp_path / "base", family)
    made = [adapter(folder, tmp_path / name, seed) for seed, name in enumerate("ab")]
    prompts = models.prompts(9, seed=2)
    names = ["a", "", "b"] * 3
    engine = open_small(folder, {"a": made[0][0], "b": made[1][0]})
    assert engine.adapters == ("a", "b")
    together = told(engine, prompts, names)
    engine.close()
    for name, whole in (("a", made[0][1]), ("b", made[1][1]), ("", folder)):
        alone = open_small(whole)
        own = [place for place, each in enumerate(names) if each == name]
        for place, other in zip(own, told(alone, [prompts[place] for place in own], [""] * 3)):
            assert together[place].tokens == other.tokens
            np.testing.assert_allclose(logprobs(together[place]), logprobs(other), atol=1e-4)
        alone.close()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_prompts_of_two_adapters_share_nothing(llama, tmp_path):
    made = adapter(llama, tmp_path, use_rslora=True)
    engine = open_small(llama, {"a": made[0]})
    prompt = np.arange(30)
    wanted = [Wanted(prompt, 6, GREEDY, adapter=name) for name in ("", "a", "", "a")]
    plain, own, again, once_more = complete(engine, wanted)
    assert plain.tokens == again.tokens != own.tokens == once_more.tokens
    assert engine.load().prompt_tokens == 2 * 30 + 2 * 2
    engine.close()


def changed(path, config=None, tensors=None):
    from safetensors.torch import load_file, save_file

    if config:
        where = path / "adapter_config.json"
        where.write_text(json.dumps(json.loads(where.read_text()) | config))
    if tensors:
        where = path / "adapter_model.safetensors"
        there = load_file(where)
        tensors(there)
        save_file(there, where)


Q = "base_model.model.model.layers.0.self_attn.q_proj."
REFUSED = {
    "another base's shapes": (
        {"tensors": lambda t: t.update({Q + "lora_A.weight": torch.zeros(3, 64)})},
        r"q_proj has A \(3, 64\)",
    ),
    "another rank": ({"config": {"r": 4}}, "which with r 4 needs"),
    "layers of another base": (
        {"tensors": lambda t: t.update({Q.replace("0", "7") + "lora_A.weight": torch.zeros(3, 32)})},
        "changes model.layers.7.self_attn.q_proj, which is no layer of the base",
    ),
    "half a pair": ({"tensors": lambda t: t.pop(Q + "lora_B.weight")}, "q_proj has lora_A only"),
    "another kind": ({"config": {"peft_type": "IA3"}}, "peft_type is 'IA3'; adapters are served with 'LORA' only"),
    "dora": ({"config": {"use_dora": True}}, "use_dora is True"),
    "saved modules": (
        {"tensors": lambda t: t.update({"base_model.model.lm_head.weight": torch.zeros(61, 32)})},
        "lm_head.weight is no LoRA matrix",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_adapter_is_refused_of(case, llama, tmp_path):
    change, message = REFUSED[case]
    adapter(llama, tmp_path)
    changed(tmp_path / "adapter", **change)
    with pytest.raises(ModelFolderError, match=message) as error:
        open_small(llama, {"a": str(tmp_path / "adapter")})
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_adapter_is_refused(llama):
    with pytest.raises(ModelFolderError, match=r"is no adapter: it has no adapter_config.json, but holds config.json"):
        open_small(llama, {"a": llama})
