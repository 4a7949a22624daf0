"""What nvidia-modelopt 0.47.0 writes for the models of models.py.

    python -m tests.serve.export.trtllm.modelopt_values tests/golden/trtllm.json    ("-" prints)

Runs where modelopt is installed. Of each tensor it keeps type, shape and the CRC32 of its bytes; with FP8 also the
largest input of each layer, which calibration found and scales follow from. Its config.json is no oracle: with
transformers 5 it lacks rotary_base, and says of GPT-2 that it has rotary positions.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import torch
from safetensors import safe_open

from tests.serve.export.trtllm import models

CASES = [
    (name, tp, pp, quantization)
    for name in ("llama", "llama_tied", "llama_biased", "gpt2")
    for tp in (1, 2)
    for pp in (1, 2)
    for quantization in ("none", "fp8")
] + [("llama", 2, 1, "fp8 with kv")]


def fingerprints(folder):
    """Return {rank: {tensor: [dtype, shape, crc]}} of a checkpoint's files."""
    found = {}
    for file in sorted(Path(folder).glob("rank*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found[file.stem] = {name: fingerprint(opened.get_tensor(name)) for name in sorted(opened.keys())}
    return found


def fingerprint(tensor):
    raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return [str(tensor.dtype).removeprefix("torch."), list(tensor.shape), zlib.crc32(raw)]


def values(name, tp, pp, quantization):
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_tensorrt_llm_checkpoint

    made = models.model(name)
    inputs = {}
    if quantization != "none":
        tokens = torch.arange(64).reshape(2, 32) % models.VOCABULARY
        config = copy.deepcopy(mtq.FP8_DEFAULT_CFG)
        if quantization == "fp8 with kv":
            config["quant_cfg"] = [*config["quant_cfg"], *mtq.FP8_KV_CFG["quant_cfg"]]
        mtq.quantize(made, config, lambda model: model(tokens))
        inputs = {
            path: float(module.input_quantizer.amax)
            for path, module in made.named_modules()
            if hasattr(module, "input_quantizer") and module.input_quantizer.is_enabled
        }
    with tempfile.TemporaryDirectory() as place:
        export_tensorrt_llm_checkpoint(
            made, "gpt" if name == "gpt2" else "llama", dtype=torch.float16, export_dir=place,
            inference_tensor_parallel=tp, inference_pipeline_parallel=pp,
        )  # fmt: skip
        return {"inputs": inputs, "ranks": fingerprints(place)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    said = {
        f"{name} tp{tp} pp{pp} {quantization}": values(*case) for case in CASES for name, tp, pp, quantization in [case]
    }
    text = json.dumps(said, sort_keys=True)
    if sys.argv[1] == "-":
        print(text)
    else:
        Path(sys.argv[1]).write_text(text + "\n")
