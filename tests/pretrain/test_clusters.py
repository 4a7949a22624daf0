"""The scripts for clusters: their syntax, and what they start, with launchers that write down what they were told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

CLUSTERS = Path(__file__).parents[2] / "docs/clusters"
WORKER = ["-m", "pretrain.run.worker"]


def test_every_script_is_named_in_the_docs_and_the_other_way_round():
    text = (CLUSTERS.parent / "clusters.md").read_text()
    assert set(re.findall(r"\]\(clusters/([^)]+)\)", text)) == {file.name for file in CLUSTERS.iterdir()}


@pytest.mark.parametrize("name", ["torchrun.sh", "slurm.sbatch"])
def test_a_script_is_bash(name):
    subprocess.run(["bash", "-n", str(CLUSTERS / name)], check=True)


def programs(folder: Path, **lines: str) -> dict[str, str]:
    """Return an environment in which these programs are found first."""
    for name, line in lines.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
        (folder / name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def test_torchrun_gets_what_its_own_parser_takes(tmp_path):
    run = pytest.importorskip("torch.distributed.run")
    environment = programs(tmp_path, torchrun='printf "%s\\n" "$@"')
    out = subprocess.run(
        ["bash", str(CLUSTERS / "torchrun.sh"), "/shared/run"],
        env=environment | {"NODES": "2", "NODE": "1", "GPUS": "8", "MASTER_ADDR": "first"},
        check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    given = run.get_args_parser().parse_args(out)
    assert (given.nnodes, given.node_rank, given.nproc_per_node, given.master_addr) == ("2", 1, "8", "first")
    assert (given.module, given.training_script, given.training_script_args) == (True, WORKER[1], ["/shared/run"])


def slurm(folder: Path, srun: str) -> subprocess.Popen[bytes]:
    environment = programs(folder, srun=srun, scontrol=f'[[ $1 == show ]] && echo first || echo "$@" >> {folder}/queue')
    return subprocess.Popen(
        ["bash", str(CLUSTERS / "slurm.sbatch"), "/shared/run"],
        env=environment | {"SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "first,second"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 64, 75])
def test_slurm_hands_on_how_the_ranks_ended_and_does_not_queue_again(code, tmp_path):
    process = slurm(tmp_path, f'echo "$MASTER_ADDR $MASTER_PORT" "$@"; exit {code}')
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert out.split() == [b"first", b"20041", b"--kill-on-bad-exit=1", b"python", *map(str.encode, WORKER),
                           b"/shared/run"]  # fmt: skip
    assert not (tmp_path / "queue").exists()


@pytest.mark.parametrize(("code", "queued"), [(0, True), (1, False)])
def test_slurm_queues_again_when_ranks_stopped_in_time(code, queued, tmp_path):
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    waits = f'trap "exit {code}" USR1; echo > {ready}; while :; do sleep 0.05; done'
    process = slurm(tmp_path, waits)
    ready.read_text()  # until srun listens
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code, out
    assert (tmp_path / "queue").exists() == queued
    if queued:
        assert (tmp_path / "queue").read_text().split() == ["requeue", "41"]


def test_slurm_warns_the_script_before_the_time_is_over():
    text = (CLUSTERS / "slurm.sbatch").read_text()
    assert "#SBATCH --signal=B:USR1@" in text
    assert text.index("#SBATCH --output") < text.index("\nset -euo")  # options after a command are not read


def test_kubernetes_pods_find_each_other():
    run = pytest.importorskip("torch.distributed.run")
    service, job = yaml.safe_load_all((CLUSTERS / "kubernetes.yaml").read_text())
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    program, *arguments = container["command"]
    index = [argument.replace("$(JOB_COMPLETION_INDEX)", "1") for argument in arguments]
    given = run.get_args_parser().parse_args(index)
    assert (program, given.module, given.training_script) == ("torchrun", True, WORKER[1])
    assert given.node_rank == 1
    assert job["spec"]["completionMode"] == "Indexed"
    assert int(given.nnodes) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(given.nproc_per_node) == container["resources"]["limits"]["nvidia.com/gpu"]
    assert given.master_addr == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert given.master_port == service["spec"]["ports"][0]["port"]
    names = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names
