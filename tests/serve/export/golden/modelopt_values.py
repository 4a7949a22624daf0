"""What nvidia-modelopt 0.47.0 writes of small models; `python -m tests.serve.export.golden.modelopt_values` freezes it.

It needs an environment with modelopt, transformers and what millrace itself needs. Weights come from torch's seeded
generator and are the same everywhere; scales of inputs come out of matrix products, which differ a little by machine.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import tempfile
from pathlib import Path

from tests.serve.export import models

FROZEN = Path(__file__).with_name("modelopt.json")
HEAD = {"head_dim": 32}
FAMILIES = {"llama": HEAD, "qwen2": {}, "qwen3": HEAD, "mixtral": {**HEAD, **models.MIXTRAL}}
# name -> (family, recipe, key/value cache too)
CASES = {
    "fp8-llama": ("llama", "FP8_DEFAULT_CFG", True),
    "fp8-qwen2": ("qwen2", "FP8_DEFAULT_CFG", False),
    "fp8-qwen3": ("qwen3", "FP8_DEFAULT_CFG", False),
    "fp8-mixtral": ("mixtral", "FP8_DEFAULT_CFG", False),
    "awq-llama": ("llama", "INT4_AWQ_CFG", False),
    "awq-qwen2": ("qwen2", "INT4_AWQ_CFG", False),
    "int8-llama": ("llama", "INT8_SMOOTHQUANT_CFG", False),
    "int8-mixtral": ("mixtral", "INT8_SMOOTHQUANT_CFG", False),
}


def model(folder: Path, family: str) -> str:
    """Save the model that was quantised; groups of 128 divide its layers."""
    return models.save(
        folder, family, dtype="bfloat16", hidden_size=128, intermediate_size=256,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0}, **FAMILIES[family],
    )  # fmt: skip


def text(folder: Path) -> str:
    """Write the text it was calibrated on."""
    path = folder / "text.jsonl"
    lines = (
        "the quick brown fox jumps over the lazy dog",
        "and counts from one to nine 0 1 2 3 4",
        "fox and dog 9 8 7",
    )
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return str(path)


def computed(case: str, folder: str, ids: list[list[int]]) -> dict:
    """Return what modelopt writes: both configurations, and of every tensor of the first layer [type, shape, value].

    value: of one number itself, of FP8 and INT8 the first digits of their bytes' SHA-256, else None.
    """
    import modelopt.torch.quantization as mtq
    import torch
    import transformers
    from modelopt.torch.export import export_hf_checkpoint

    _, recipe, cache = CASES[case]
    settings = copy.deepcopy(getattr(mtq, recipe))
    if cache:
        settings["quant_cfg"] += mtq.FP8_KV_CFG["quant_cfg"]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)

    def run(quantised):
        for one in ids:
            quantised(torch.tensor([one]), use_cache=False)

    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        export_hf_checkpoint(mtq.quantize(loaded, settings, run), dtype=torch.bfloat16, export_dir=out)
        return read(Path(out))


def read(folder: Path) -> dict:
    """Return the same of a folder that is there."""
    told = json.loads((folder / "config.json").read_text())
    return {
        "hf_quant_config": json.loads((folder / "hf_quant_config.json").read_text()),
        "quantization_config": told["quantization_config"],
        "tensors": {n: _described(t) for n, t in sorted(models.tensors(folder).items()) if ".layers.1." not in n},
    }


def _described(tensor) -> list:
    import torch

    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.numel() == 1:
        return [kind, list(tensor.shape), tensor.item()]
    digest = None
    if kind in ("float8_e4m3fn", "int8"):
        digest = hashlib.sha256(tensor.view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
    return [kind, list(tensor.shape), digest]


def main() -> None:
    """Freeze every case."""
    from serve.export.calibration import sequences

    found = {}
    for case, (family, _, _) in CASES.items():
        with tempfile.TemporaryDirectory() as room:
            folder = model(Path(room) / family, family)
            ids = sequences(folder, text(Path(room)), 8, 64)
            found[case] = computed(case, folder, ids)
    lines = [f"{json.dumps(case)}: {json.dumps(value)}" for case, value in found.items()]
    FROZEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
