import pytest

from pretrain.errors import SettingsError
from pretrain.run.place import Place, place, standard

MEETING = {"MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        (
            {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
             "TORCHELASTIC_RESTART_COUNT": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
            Place(5, 8, 1, 4, 2),  # torchrun as the one task of a Slurm job's node
        ),
        (
            {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "4",
             "SLURM_RESTART_COUNT": "2"},
            Place(5, 8, 1, 4, 2),
        ),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Place(3, 4, 0, 1, 0)),  # a pod of a PyTorchJob
    ],
)  # fmt: skip
def test_torchrun_slurm_and_kubernetes_are_read(environment, wanted):
    assert place(standard(MEETING | environment)) == wanted


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "needs RANK in its environment"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "MASTER_PORT": "1"}, "needs MASTER_ADDR .* export it in the batch"),
        (MEETING | {"RANK": "4", "WORLD_SIZE": "4"}, "RANK 4 is not one of WORLD_SIZE 4"),
        (MEETING | {"RANK": "one", "WORLD_SIZE": "4"}, "RANK is 'one'"),
    ],
)
def test_an_environment_that_names_no_rank_is_refused(environment, message):
    with pytest.raises(SettingsError, match=message):
        place(standard(environment))
