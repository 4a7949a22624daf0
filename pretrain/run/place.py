"""Where this process stands among the ranks: one reading of what torchrun, Slurm and Kubernetes tell it.

torchrun, our launcher      RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR MASTER_PORT
                            TORCHELASTIC_RESTART_COUNT TORCHELASTIC_USE_AGENT_STORE
Kubernetes (PyTorchJob)     RANK WORLD_SIZE MASTER_ADDR MASTER_PORT: one process a pod
Slurm (srun)                SLURM_PROCID SLURM_LOCALID SLURM_NTASKS SLURM_NTASKS_PER_NODE SLURM_RESTART_COUNT,
                            and MASTER_ADDR, MASTER_PORT exported by the batch script:
                            export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pretrain.errors import SettingsError

SLURM = {
    "RANK": "SLURM_PROCID",
    "LOCAL_RANK": "SLURM_LOCALID",
    "WORLD_SIZE": "SLURM_NTASKS",
    "LOCAL_WORLD_SIZE": "SLURM_NTASKS_PER_NODE",
    "TORCHELASTIC_RESTART_COUNT": "SLURM_RESTART_COUNT",
}
ABSENT = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RESTART_COUNT": "0"}  # one process a machine
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Place:
    """Which of the ranks this process is."""

    rank: int
    world: int  # ranks in all
    local_rank: int  # on its machine: the number of its GPU
    local_world: int  # ranks on its machine
    restarts: int  # how often all ranks were started anew before

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise SettingsError(f"RANK {self.rank} is not one of WORLD_SIZE {self.world} ranks, counted from 0")


def standard(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables torchrun would set. Raises SettingsError where ranks cannot be told apart or meet."""
    slurm = "RANK" not in environment and "SLURM_PROCID" in environment
    found = {}
    for name in dict.fromkeys((*NEEDED, *ABSENT)):
        value = environment.get(SLURM.get(name, name) if slurm else name, ABSENT.get(name))
        if value is None:
            started = "srun: export it in the batch script" if slurm else "torchrun, srun or millrace pretrain"
            raise SettingsError(f"a rank needs {name} in its environment ({started}); it is not set")
        found[name] = value
    return found


def place(variables: Mapping[str, str]) -> Place:
    """Read a place from `standard` variables. Raises SettingsError where one is no whole number."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
    for name in (*names, "MASTER_PORT"):
        if not variables[name].isdigit():
            raise SettingsError(f"{name} is {variables[name]!r} in a rank's environment; it must be a whole number")
    return Place(*(int(variables[name]) for name in names))
