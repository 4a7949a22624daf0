#!/usr/bin/env bash
# An exported folder (hf, fp8, awq) behind trtllm-serve, TensorRT-LLM 1.0 to 1.2, PyTorch backend:
#
#     TP=2 bash trtllm.sh [--dry-run] FOLDER [more of trtllm-serve's options]
#
# It answers OpenAI's API at http://HOST:PORT/v1; `millrace serve --upstream` stands before it (see docs/serving.md).
set -euo pipefail

show() {
    printf '%q ' "$@"
    echo
}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
run="exec"
if [[ ${1:-} == --dry-run ]]; then
    run=show
    shift
fi
FOLDER=${1:?usage: bash trtllm.sh [--dry-run] FOLDER [OPTION...]}
shift

python3 "$here/folder.py" "$FOLDER" trtllm.sh >/dev/null

$run trtllm-serve "$FOLDER" \
    --backend pytorch \
    --tp_size "${TP:-1}" \
    --pp_size "${PP:-1}" \
    --host "${HOST:-127.0.0.1}" \
    --port "${PORT:-8001}" \
    "$@"
