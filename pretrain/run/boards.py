"""Curves elsewhere: TensorBoard and Weights & Biases."""

from __future__ import annotations

import importlib.util
from typing import Any

from millrace import storage
from pretrain.errors import SettingsError
from pretrain.run.log import Event, Step, Validation


def has_tensorboard() -> bool:
    """Tell whether TensorBoard's writer can be imported."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorBoard:
    """Curves in RUN/tensorboard. What an earlier attempt wrote past the restored step is purged, not drawn twice."""

    def __init__(self, folder: str, restored: int = 0):
        from torch.utils.tensorboard import SummaryWriter

        place = str(storage.local_path(storage.join(folder, "tensorboard")))
        purge = restored + 1 if storage.exists(place) else None
        self._writer: Any = SummaryWriter(place, purge_step=purge)

    def step(self, line: Step) -> None:
        for name, value in line.curves().items():
            self._writer.add_scalar(name, value, line.step)

    def validation(self, line: Validation) -> None:
        for name, value in line.curves().items():
            self._writer.add_scalar(name, value, line.step)

    def event(self, event: Event) -> None:
        """Write an event's details as text, and everything before it to the file: a save finds its curve there."""
        said = "  \n".join([f"**{event.kind}**", *(f"{name}: {value}" for name, value in event.details.items())])
        self._writer.add_text(f"events/{event.kind}", said, event.step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Curves in a Weights & Biases project; WANDB_MODE=offline needs no network and writes below RUN/wandb.

    Each attempt is a run of its own, all in one group named as the run folder, since a W&B run takes no step
    twice: an attempt's curves begin at the step it was restored to.
    """

    def __init__(self, folder: str, project: str, config: dict[str, Any], restored: int = 0):
        if importlib.util.find_spec("wandb") is None:
            raise SettingsError(f"watch.wandb is {project}, but wandb is not installed: pip install wandb")
        import wandb

        path = storage.local_path(storage.absolute(folder))
        name = f"{path.name} from step {restored}" if restored else path.name
        self._run: Any = wandb.init(project=project, dir=str(path), name=name, group=path.name, config=config)
        self._run.define_metric("*", step_metric="step")

    def step(self, line: Step) -> None:
        self._run.log({"step": line.step, **line.curves()})

    def validation(self, line: Validation) -> None:
        self._run.log({"step": line.step, **line.curves()})

    def event(self, event: Event) -> None:
        self._run.log({"step": event.step, f"events/{event.kind}": 1})

    def close(self) -> None:
        self._run.finish()
