"""Which backend is chosen, and the reason that is given."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from align.backends import choose as module
from align.backends.choose import choose, count, open_policy
from align.backends.settings import PolicySettings
from align.config import Config, Model, Peft
from align.errors import AlignSettingsError
from pretrain.machine import GIB, Machine
from tests.align.backends import tiny

CPU = Machine(2, 8 * GIB, 2, "cpu")
NODE = Machine.gpus(8, 80)


def config(folder: str, **changes: object) -> Config:
    return Config("sft", model=Model(start_from=folder, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "machine", "parameters", "changes", "backend", "reason"),
    [
        ("llama", CPU, 3_400_000, {}, "hf", "3.4 M parameters, 0.1 GiB of .*, fit one process"),
        ("llama", NODE, 8_000_000_000, {}, "hf", "8.0 B parameters, 119.2 GiB .* fit 8 GPU"),
        ("llama", NODE, 70_000_000_000, {}, "megatron", "70.0 B parameters want tensor parallelism"),
        ("llama", Machine.gpus(1, 80), 8_000_000_000, {}, "megatron", "119 GiB are more than 60% of the 80 GiB"),
        ("llama", Machine.gpus(1, 80), 8_000_000_000, {"peft": Peft(), "precision": "bf16"}, "hf", "14.9 GiB"),
        ("mixtral", NODE, 1_000_000_000, {}, "megatron", "its 4 experts want expert parallelism"),
        ("mixtral", CPU, 1_000_000, {}, "hf", "fit one process"),
        ("llama", NODE, 70_000_000_000, {"peft": Peft(kind="ia3")}, "hf", "though 70.0 B .*: Megatron has no ia3"),
        ("mistral", NODE, 70_000_000_000, {}, "hf", "though .*: Megatron cannot hold this model: .*mistral"),
    ],
)  # fmt: skip
def test_the_backend_follows_from_size_machine_family_and_adapters(
    folders, family, machine, parameters, changes, backend, reason
):
    chosen, why = choose(config(folders[family], **changes), machine, parameters)
    assert chosen == backend, why
    assert why.startswith(f"backend {backend}")
    assert re.search(reason, why), why


def test_what_is_asked_for_is_taken_or_refused(folders):
    asked = config(folders["llama"], backend="megatron")
    assert choose(asked, CPU, 1)[0] == "megatron"
    refused = dataclasses.replace(asked, model=dataclasses.replace(asked.model, peft=Peft(kind="p_tuning")))
    with pytest.raises(AlignSettingsError, match=r"backend is megatron, but Megatron has no p_tuning, only lora"):
        choose(refused, CPU, 1)


def test_a_library_that_is_absent_is_named(folders, monkeypatch):
    absent = {"megatron.core"}
    monkeypatch.setattr(module, "_importable", lambda package: package not in absent)
    chosen, why = choose(config(folders["llama"]), NODE, 70_000_000_000)
    assert chosen == "hf"
    assert why.endswith("megatron.core is not installed (pip install 'millrace[align]')")
    absent |= {"transformers"}
    with pytest.raises(AlignSettingsError, match=r"no backend can be had: hf: transformers is not installed"):
        choose(config(folders["llama"]), NODE, 1)


def test_parameters_are_counted_by_headers(folders):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folders["qwen2"])
    assert count(folders["qwen2"]) == model.num_parameters()


def test_a_policy_is_opened_by_name(folders):
    policy = open_policy(tiny.settings(folders["llama"]), "hf")
    assert (policy.head, policy.version, policy.data_rank, policy.data_ranks) == ("lm", 0, 0, 1)


def test_choosing_imports_neither_library():
    heavy = "{'transformers', 'peft', 'megatron.core'}"  # align.policy, which it imports, is about torch's tensors
    code = f"import sys, align.backends.choose; print({heavy} & {{*sys.modules}})"
    root = Path(module.__file__).parents[2]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert out.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"steps": 0}, "steps is 0"), ({"outputs": 0}, "outputs is 0"), ({"temperature": 0.0}, "temperature is 0.0"),
     ({"ranks": ()}, "a policy on no ranks")],
)  # fmt: skip
def test_settings_that_describe_no_policy_are_refused(changes, message):
    with pytest.raises(AlignSettingsError, match=message):
        PolicySettings("folder", **changes)
