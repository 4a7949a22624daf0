#!/usr/bin/env bash
# An exported folder (hf, fp8, awq) behind trtllm-serve, TensorRT-LLM 1.0 to 1.2, PyTorch backend:
#
#     TP=2 bash trtllm.sh [--dry-run] FOLDER [more of trtllm-serve's options]
#
# It answers OpenAI's API at http://HOST:PORT/v1; `millrace serve --upstream` stands before it (see docs/serving.md).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=docs/servers/dry_run.bash
source "$here/dry_run.bash"
FOLDER=${1:?usage: bash trtllm.sh [--dry-run] FOLDER [OPTION...]}
shift

python3 "$here/folder.py" "$FOLDER" trtllm.sh >/dev/null

become trtllm-serve "$FOLDER" \
    --backend pytorch \
    --tp_size "${TP:-1}" \
    --pp_size "${PP:-1}" \
    --host "${HOST:-127.0.0.1}" \
    --port "${PORT:-8001}" \
    "$@"
