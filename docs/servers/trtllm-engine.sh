#!/usr/bin/env bash
# A checkpoint of `millrace export --to trtllm` behind trtllm-serve, TensorRT-LLM up to 1.2, TensorRT backend:
#
#     bash trtllm-engine.sh [--dry-run] CHECKPOINT ENGINE [more of trtllm-build's options]
#
# An engine is built for this machine's GPUs, once: one that is there is served. Sizes are the checkpoint's own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=docs/servers/dry_run.bash
source "$here/dry_run.bash"
usage="usage: bash trtllm-engine.sh [--dry-run] CHECKPOINT ENGINE [OPTION...]"
CHECKPOINT=${1:?$usage}
ENGINE=${2:?$usage}
shift 2

told=$(python3 "$here/folder.py" "$CHECKPOINT" trtllm-engine.sh)
read -r _ TP PP <<<"$told"

if [[ ! -e $ENGINE/config.json ]]; then
    run trtllm-build \
        --checkpoint_dir "$CHECKPOINT" \
        --output_dir "$ENGINE" \
        --max_batch_size "${BATCH:-64}" \
        --workers "${WORKERS:-1}" \
        "$@"
fi
# The checkpoint's folder has the tokenizer.
become trtllm-serve "$ENGINE" \
    --backend trt \
    --tokenizer "$CHECKPOINT" \
    --tp_size "$TP" \
    --pp_size "$PP" \
    --host "${HOST:-127.0.0.1}" \
    --port "${PORT:-8001}"
