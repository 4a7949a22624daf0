#!/usr/bin/env bash
# One machine, or several that see the same file system, under torchrun. Run it on every machine:
#
#     NODES=2 NODE=0 MASTER_ADDR=first-machine bash torchrun.sh /shared/runs/llama-1b
#
# RUN is a run folder whose run.json was written beforehand (see docs/clusters.md).
set -euo pipefail

RUN=${1:?usage: bash torchrun.sh RUN}
NODES=${NODES:-1}
NODE=${NODE:-0}
GPUS=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
MASTER_ADDR=${MASTER_ADDR:-localhost}
MASTER_PORT=${MASTER_PORT:-29500}

# Sequence and context parallelism overlap best when kernels are queued in order (Megatron's own advice).
export CUDA_DEVICE_MAX_CONNECTIONS=${CUDA_DEVICE_MAX_CONNECTIONS:-1}

# torchrun also tries again after a mistake that no restart mends (exit code 64), so by default it does not try.
exec torchrun \
    --nnodes="$NODES" \
    --node-rank="$NODE" \
    --nproc-per-node="$GPUS" \
    --master-addr="$MASTER_ADDR" \
    --master-port="$MASTER_PORT" \
    --max-restarts="${MAX_RESTARTS:-0}" \
    -m pretrain.run.worker "$RUN"
