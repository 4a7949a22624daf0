"""Say what an exported folder is, for the scripts beside this one: `python3 folder.py FOLDER SERVER`.

Prints the format and the GPUs it was made for ("trtllm 2 2", "fp8 1 1": tensor x pipeline parallel), or says in one
line why the server cannot load the folder, and exits with 64. Needs Python alone, so that it runs in every server's
container.
"""

import json
import sys
from pathlib import Path

TAKES = {  # what each server's loader knows
    "trtllm.sh": ("hf", "fp8", "awq"),  # TensorRT-LLM 1.0 to 1.2, features/quantization.html, PyTorch backend
    "trtllm-engine.sh": ("trtllm",),  # TensorRT-LLM up to 1.2
    "vllm.sh": ("hf", "fp8", "fp8-dynamic"),  # modelopt.py's QUANT_ALGOS has neither INT4 AWQ nor INT8 (vllm#46929)
    "triton-vllm.sh": ("hf", "fp8", "fp8-dynamic"),
    "triton-trtllm.sh": ("hf", "fp8", "awq"),
}
ALGORITHMS = {"FP8": "fp8", "W4A16_AWQ": "awq", "W8A8_SQ_PER_CHANNEL": "int8"}


class Wrong(Exception):
    """What is the matter with a folder, in one line."""


def described(folder):
    """Return (format, tensor parallel, pipeline parallel, config.json)."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise Wrong(f"{folder} is no exported folder: it has no config.json") from None
    except ValueError:
        raise Wrong(f"{path} is no JSON") from None
    if not isinstance(config, dict):
        raise Wrong(f"{path} is no JSON object")
    if "architecture" in config and "mapping" in config:
        mapping = config["mapping"]
        return "trtllm", mapping["tp_size"], mapping["pp_size"], config
    if "pretrained_config" in config:
        return "a TensorRT engine", 1, 1, config
    if "architectures" not in config:
        raise Wrong(f"{path} names no architectures: the folder is no exported model")
    return quantised(folder, config), 1, 1, config


def quantised(folder, config):
    """Return the format of a Hugging Face folder, by what config.json says of its weights."""
    told = config.get("quantization_config")
    if not told:
        return "hf"
    if told.get("quant_method") == "compressed-tensors":
        return "fp8-dynamic"
    if told.get("quant_method") == "modelopt":
        if not (Path(folder) / "hf_quant_config.json").exists():
            raise Wrong(f"{folder} lacks hf_quant_config.json, which servers look for beside modelopt's weights")
        return ALGORITHMS.get(told.get("quant_algo"), str(told.get("quant_algo")))
    return str(told.get("quant_method"))


def check(folder, server):
    """Return the line for a script. Raises Wrong where the server cannot load the folder."""
    found, tp, pp, config = described(folder)
    if found not in TAKES[server]:
        others = [name for name, takes in TAKES.items() if found in takes]
        raise Wrong(
            f"{folder} is {found}; {server} takes {', '.join(TAKES[server])}"
            + (f"; {', '.join(others)} takes it" if others else "; no script here takes it")
        )
    if found == "trtllm":
        lost = [f"rank{rank}.safetensors" for rank in range(tp * pp)
                if not (Path(folder) / f"rank{rank}.safetensors").exists()]  # fmt: skip
        if lost:
            raise Wrong(f"{folder} lacks {lost[0]}; tp {tp} x pp {pp} needs {tp * pp} ranks")
    elif "SequenceClassification" in str(config["architectures"]):
        raise Wrong(f"{folder} scores sequences: `millrace serve` answers /v1/score with it")
    elif config.get("model_type") == "gpt2" and "trtllm" in server:
        raise Wrong(f"{folder} is a GPT-2, which TensorRT-LLM has in its TensorRT backend alone: export --to trtllm")
    return f"{found} {tp} {pp}"


if __name__ == "__main__":
    try:
        print(check(*sys.argv[1:]))
    except Wrong as error:
        print(f"{sys.argv[2]}: {error}", file=sys.stderr)
        sys.exit(64)
