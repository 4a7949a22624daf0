#!/usr/bin/env bash
# An exported folder (hf, fp8, awq) in Triton, by TensorRT-LLM's backend. In the container
# nvcr.io/nvidia/tritonserver:YY.MM-trtllm-python-py3, with TensorRT-LLM's repository at the container's release:
#
#     TRTLLM=TensorRT-LLM TP=2 bash triton-trtllm.sh [--dry-run] FOLDER REPOSITORY
#
# REPOSITORY is a new folder: Triton's model repository. It answers Triton's own API, at
# http://localhost:8000/v2/models/tensorrt_llm/generate, so `millrace serve --upstream` cannot stand before it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=docs/servers/dry_run.bash
source "$here/dry_run.bash"
usage="usage: TRTLLM=TensorRT-LLM bash triton-trtllm.sh [--dry-run] FOLDER REPOSITORY"
FOLDER=$(realpath "${1:?$usage}")
REPOSITORY=${2:?$usage}
backend=${TRTLLM:?$usage}/triton_backend

python3 "$here/folder.py" "$FOLDER" triton-trtllm.sh >/dev/null
if [[ ! -d $backend/all_models/llmapi ]]; then
    echo "triton-trtllm.sh: $backend/all_models/llmapi is not there; TRTLLM names a clone of NVIDIA/TensorRT-LLM" >&2
    exit 64
fi

mkdir -p "$REPOSITORY"
cp -R "$backend/all_models/llmapi/." "$REPOSITORY"
# The fields are arguments of tensorrt_llm.LLM, but for Triton's own.
cat >"$REPOSITORY/tensorrt_llm/1/model.yaml" <<YAML
model: "$FOLDER"
backend: "pytorch"
tensor_parallel_size: ${TP:-1}
pipeline_parallel_size: ${PP:-1}
triton_config:
  max_batch_size: 0
  decoupled: False
YAML

become python3 "$backend/scripts/launch_triton_server.py" --model_repo="$REPOSITORY"
