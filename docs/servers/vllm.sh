#!/usr/bin/env bash
# An exported folder (hf, fp8, fp8-dynamic) behind vLLM's OpenAI server:
#
#     TP=2 NAME=mine bash vllm.sh [--dry-run] FOLDER [more of vllm serve's options]
#
# vLLM reads from config.json how weights are quantised. FP8 needs a GPU of compute capability 8.9 or newer.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=docs/servers/dry_run.bash
source "$here/dry_run.bash"
FOLDER=${1:?usage: bash vllm.sh [--dry-run] FOLDER [OPTION...]}
shift

python3 "$here/folder.py" "$FOLDER" vllm.sh >/dev/null

become vllm serve "$FOLDER" \
    --served-model-name "${NAME:-$(basename "$FOLDER")}" \
    --tensor-parallel-size "${TP:-1}" \
    --pipeline-parallel-size "${PP:-1}" \
    --host "${HOST:-127.0.0.1}" \
    --port "${PORT:-8001}" \
    "$@"
