#!/usr/bin/env bash
# An exported folder (hf, fp8, fp8-dynamic) in Triton, by its vLLM backend, with OpenAI's API before it. In the
# container nvcr.io/nvidia/tritonserver:YY.MM-vllm-python-py3:
#
#     TP=2 NAME=mine bash triton-vllm.sh [--dry-run] FOLDER REPOSITORY
#
# REPOSITORY is a new folder: it becomes Triton's model repository, REPOSITORY/NAME/{config.pbtxt,1/model.json}.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=docs/servers/dry_run.bash
source "$here/dry_run.bash"
usage="usage: bash triton-vllm.sh [--dry-run] FOLDER REPOSITORY"
FOLDER=$(realpath "${1:?$usage}")
REPOSITORY=${2:?$usage}
NAME=${NAME:-$(basename "$FOLDER")}

python3 "$here/folder.py" "$FOLDER" triton-vllm.sh >/dev/null

mkdir -p "$REPOSITORY/$NAME/1"
# model.json holds arguments of vLLM's engine; which GPU runs what is left to it (KIND_MODEL).
python3 - "$FOLDER" "${TP:-1}" "${PP:-1}" >"$REPOSITORY/$NAME/1/model.json" <<'PYTHON'
import json, sys
folder, tp, pp = sys.argv[1:]
print(json.dumps({"model": folder, "tensor_parallel_size": int(tp), "pipeline_parallel_size": int(pp)}, indent=2))
PYTHON
cat >"$REPOSITORY/$NAME/config.pbtxt" <<'PBTXT'
backend: "vllm"
instance_group [
  {
    count: 1
    kind: KIND_MODEL
  }
]
PBTXT

become python3 "${FRONTEND:-/opt/tritonserver/python/openai/openai_frontend/main.py}" \
    --model-repository "$REPOSITORY" \
    --tokenizer "$FOLDER" \
    --host "${HOST:-127.0.0.1}" \
    --openai-port "${PORT:-8001}"
