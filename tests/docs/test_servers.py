"""The scripts that put exported folders behind servers: what they refuse, and the commands they would run."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SERVERS = Path(__file__).parents[2] / "docs/servers"
SCRIPTS = sorted(SERVERS.glob("*.sh"))


def config(**fields):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **fields}


def modelopt(algorithm):
    return config(quantization_config={"quant_method": "modelopt", "quant_algo": algorithm})


KINDS = {
    "hf": config(),
    "fp8": modelopt("FP8"),
    "awq": modelopt("W4A16_AWQ"),
    "int8": modelopt("W8A8_SQ_PER_CHANNEL"),
    "fp8-dynamic": config(quantization_config={"quant_method": "compressed-tensors"}),
    "trtllm": {"architecture": "LlamaForCausalLM", "mapping": {"tp_size": 2, "pp_size": 1}},
    "reward": config(architectures=["LlamaForSequenceClassification"]),
    "gpt2": {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"},
}


@pytest.fixture
def folder(tmp_path):
    def make(kind):
        made = tmp_path / kind
        made.mkdir()
        (made / "config.json").write_text(json.dumps(KINDS[kind]))
        (made / "hf_quant_config.json").write_text("{}")
        for rank in range(2 if kind == "trtllm" else 0):
            (made / f"rank{rank}.safetensors").touch()
        return made

    return make


def run(script, *arguments, **environment):
    return subprocess.run(
        ["bash", SERVERS / script, "--dry-run", *arguments], capture_output=True, text=True,
        env={"PATH": os.environ["PATH"]} | environment,
    )  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean(script):
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)
    assert script.read_text().splitlines()[0] == "#!/usr/bin/env bash"


@pytest.mark.parametrize("kind", ["hf", "fp8", "awq"])
def test_trtllm_serve_is_given_what_its_pytorch_backend_reads(folder, kind):
    made = folder(kind)
    said = run("trtllm.sh", made, "--max_seq_len", "4096", TP="2", PORT="9000")
    assert said.stdout.split() == [
        "trtllm-serve", str(made), "--backend", "pytorch", "--tp_size", "2", "--pp_size", "1",
        "--host", "127.0.0.1", "--port", "9000", "--max_seq_len", "4096",
    ]  # fmt: skip


def test_an_engine_is_built_once_and_served_with_the_sizes_of_its_checkpoint(tmp_path, folder):
    made, engine = folder("trtllm"), tmp_path / "engine"
    build, serve = run("trtllm-engine.sh", made, engine, "--max_seq_len", "4096").stdout.splitlines()
    assert build.split() == [
        "trtllm-build", "--checkpoint_dir", str(made), "--output_dir", str(engine), "--max_batch_size", "64",
        "--workers", "1", "--max_seq_len", "4096",
    ]  # fmt: skip
    assert serve.split() == [
        "trtllm-serve", str(engine), "--backend", "trt", "--tokenizer", str(made), "--tp_size", "2", "--pp_size", "1",
        "--host", "127.0.0.1", "--port", "8001",
    ]  # fmt: skip
    engine.mkdir()
    (engine / "config.json").touch()
    assert run("trtllm-engine.sh", made, engine).stdout.splitlines() == [serve]


@pytest.mark.parametrize("kind", ["hf", "fp8", "fp8-dynamic", "gpt2"])
def test_vllm_is_given_what_it_reads(folder, kind):
    made = folder(kind)
    said = run("vllm.sh", made, "--max-model-len", "4096", NAME="mine")
    assert said.stdout.split() == [
        "vllm", "serve", str(made), "--served-model-name", "mine", "--tensor-parallel-size", "1",
        "--pipeline-parallel-size", "1", "--host", "127.0.0.1", "--port", "8001", "--max-model-len", "4096",
    ]  # fmt: skip


def test_a_repository_of_triton_is_written_for_its_vllm_backend(tmp_path, folder):
    made, repository = folder("fp8"), tmp_path / "repository"
    said = run("triton-vllm.sh", made, repository, TP="2", NAME="mine")
    assert json.loads((repository / "mine/1/model.json").read_text()) == {
        "model": str(made), "tensor_parallel_size": 2, "pipeline_parallel_size": 1,
    }  # fmt: skip
    assert 'backend: "vllm"' in (repository / "mine/config.pbtxt").read_text()
    assert said.stdout.split() == [
        "python3", "/opt/tritonserver/python/openai/openai_frontend/main.py", "--model-repository", str(repository),
        "--tokenizer", str(made), "--host", "127.0.0.1", "--openai-port", "8001",
    ]  # fmt: skip


def test_a_repository_of_triton_is_written_for_its_trtllm_backend(tmp_path, folder):
    made, repository, clone = folder("awq"), tmp_path / "repository", tmp_path / "TensorRT-LLM"
    stock = clone / "triton_backend/all_models/llmapi/tensorrt_llm"
    (stock / "1").mkdir(parents=True)
    (stock / "config.pbtxt").write_text("stock")
    (stock / "1/model.yaml").write_text("model: another")
    said = run("triton-trtllm.sh", made, repository, TRTLLM=str(clone), TP="4")
    assert (repository / "tensorrt_llm/config.pbtxt").read_text() == "stock"
    lines = (repository / "tensorrt_llm/1/model.yaml").read_text().splitlines()
    assert lines[:3] == [f'model: "{made}"', 'backend: "pytorch"', "tensor_parallel_size: 4"]
    launcher = clone / "triton_backend/scripts/launch_triton_server.py"
    assert said.stdout.split() == ["python3", str(launcher), f"--model_repo={repository}"]


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        ("vllm.sh", "awq", "is awq; vllm.sh takes hf, fp8, fp8-dynamic; trtllm.sh, triton-trtllm.sh takes it"),
        ("vllm.sh", "int8", "is int8; vllm.sh takes hf, fp8, fp8-dynamic; no script here takes it"),
        ("vllm.sh", "trtllm", "is trtllm; vllm.sh takes hf, fp8, fp8-dynamic; trtllm-engine.sh takes it"),
        ("trtllm.sh", "fp8-dynamic", "is fp8-dynamic; trtllm.sh takes hf, fp8, awq; vllm.sh, triton-vllm.sh takes it"),
        ("trtllm.sh", "gpt2", "is a GPT-2, which TensorRT-LLM has in its TensorRT backend alone"),
        ("trtllm.sh", "reward", "scores sequences: `millrace serve` answers /v1/score with it"),
        ("trtllm-engine.sh", "hf", "is hf; trtllm-engine.sh takes trtllm; "),
        ("triton-vllm.sh", "awq", "is awq; triton-vllm.sh takes"),
    ],
)
def test_a_folder_of_another_format_is_refused_in_one_line(tmp_path, folder, script, kind, said):
    made = folder(kind)
    found = run(script, made, tmp_path / "second")
    assert (found.returncode, found.stdout) == (64, "")
    assert found.stderr.startswith(f"{script}: {made} {said}")
    assert found.stderr.count("\n") == 1


def test_folders_that_are_not_whole_are_refused_in_one_line(tmp_path, folder):
    made = folder("trtllm")
    (made / "rank1.safetensors").unlink()
    told = [run("trtllm-engine.sh", made, tmp_path / "engine")]
    (tmp_path / "empty").mkdir()
    told.append(run("vllm.sh", tmp_path / "empty"))
    broken = folder("hf")
    (broken / "config.json").write_text("{")
    told.append(run("vllm.sh", broken))
    lost = folder("fp8")
    (lost / "hf_quant_config.json").unlink()
    told.append(run("vllm.sh", lost))
    assert [one.stderr for one in told] == [
        f"trtllm-engine.sh: {made} lacks rank1.safetensors; tp 2 x pp 1 needs 2 ranks\n",
        f"vllm.sh: {tmp_path}/empty is no exported folder: it has no config.json\n",
        f"vllm.sh: {broken}/config.json is no JSON\n",
        f"vllm.sh: {lost} lacks hf_quant_config.json, which servers look for beside modelopt's weights\n",
    ]
    assert all(one.returncode == 64 for one in told)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_without_a_folder_the_usage_is_said(script):
    found = run(script.name)
    assert found.returncode == 1
    assert "usage:" in found.stderr
