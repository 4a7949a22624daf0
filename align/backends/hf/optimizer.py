"""AdamW over this rank's share of the trained parameters, its schedule, and clipping by the norm over all ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from align.errors import AlignSettingsError
from pretrain.config import Optimizer


def learning_rate(settings: Optimizer, steps: int, step: int) -> float:
    """Return the rate of a step, counted from 1, in a run of `steps`: pretrain's numbers, which are Megatron's.

    Warm-up is linear from 0. cosine and linear fall to min_lr at decay_steps (all steps); wsd (MiniCPM,
    arXiv:2404.06395, section 4) is flat until its last decay_steps (a tenth of the steps), then falls linearly.
    """
    peak, least, warmup = settings.lr, settings.min_lr, settings.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if settings.schedule == "constant":
        return peak
    decay = settings.decay(steps)
    end = steps if settings.schedule == "wsd" else decay
    if step > end:
        return least
    if settings.schedule == "wsd":
        share = 1 - max(0, step - (end - decay)) / decay
    else:
        done = (step - warmup) / (end - warmup)
        share = 1 - done if settings.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return least + share * (peak - least)


class Trainer:
    """The trained parameters of a rank, float32, with their gradients and AdamW's moments.

    A parameter that is float32 already, whole or sharded, is updated where it lies; one in half precision has a
    float32 master copy, and a float32 sum of its gradients over micro-batches.
    """

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], settings: Optimizer, steps: int, halved: Collection[str] = ()
    ):
        """Take float32 parameters; those named `halved` compute in bfloat16 from now on.

        Raises AlignSettingsError where the schedule's warm-up leaves nothing to fall.
        """
        decay, wsd = settings.decay(steps), settings.schedule == "wsd"
        if settings.warmup_steps + decay > steps if wsd else settings.warmup_steps >= decay:
            raise AlignSettingsError(
                f"optimizer.warmup_steps {settings.warmup_steps} leaves no room in the schedule, which falls over "
                f"{decay} of {steps} steps"
            )
        self.parameters, self.settings, self.steps = dict(parameters), settings, steps
        self.step = 0  # of the schedule
        self.halved = [name for name in parameters if name in set(halved)]
        self.masters = {name: nn.Parameter(_local(p).float()) for name, p in self.parameters.items()}
        decayed = [master for name, master in self.masters.items() if _decays(name, self.parameters[name])]
        rest = [master for name, master in self.masters.items() if not _decays(name, self.parameters[name])]
        groups = [
            {"params": group, "weight_decay": decay}
            for group, decay in ((decayed, settings.weight_decay), (rest, 0.0))
            if group
        ]
        self.adam = torch.optim.AdamW(
            groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=settings.eps, fused=True
        )
        for name in self.halved:
            self.parameters[name].data = self.parameters[name].data.bfloat16()
            self.parameters[name].register_post_accumulate_grad_hook(self._adder(name))

    def _adder(self, name: str) -> Any:
        def add(parameter: Tensor) -> None:
            assert parameter.grad is not None
            master = self.masters[name]
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad += parameter.grad
            parameter.grad = None

        return add

    def gather(self) -> None:
        """Give masters the gradients of parameters that are their own masters."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                self.masters[name].grad = _local(parameter.grad)

    def sum(self, over: Callable[[Tensor], Tensor]) -> None:
        """Add gradients up over ranks that hold the same parameters."""
        for master in self.masters.values():
            master.grad = over(torch.zeros_like(master) if master.grad is None else master.grad)

    def squared_norm(self) -> Tensor:
        """Return the sum of squares of this rank's gradients, float64 ()."""
        gradients = [master.grad for master in self.masters.values() if master.grad is not None]
        if not gradients:
            return torch.zeros((), dtype=torch.float64)
        return torch.stack(torch._foreach_norm(gradients)).double().square().sum()

    def apply(self, norm: float) -> float:
        """Clip by the norm over all ranks and take a step; return its learning rate."""
        rate = self.skip()
        if 0 < self.settings.clip < norm:
            gradients = [master.grad for master in self.masters.values() if master.grad is not None]
            torch._foreach_mul_(gradients, self.settings.clip / (norm + 1e-6))
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        self.publish()
        return rate

    def skip(self) -> float:
        """Go on in the schedule, as the data do; return the learning rate."""
        self.step += 1
        return learning_rate(self.settings, self.steps, self.step)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def publish(self) -> None:
        """Copy masters to the parameters in half precision."""
        for name in self.halved:
            self.parameters[name].copy_(self.masters[name])

    def zero(self) -> None:
        """Forget all gradients."""
        for name, parameter in self.parameters.items():
            parameter.grad = self.masters[name].grad = None

    def follow(self) -> None:
        """Take up parameters that were moved: those that are their own masters lie elsewhere now."""
        for name, parameter in self.parameters.items():
            if name not in self.halved:
                self.masters[name].data = _local(parameter)

    def move(self, place: Any) -> None:
        """Move moments, and masters that are copies, by a function of a tensor."""
        for name in self.halved:
            self.masters[name].data = place(self.masters[name].data)
        for state in self.adam.state.values():
            for name, value in state.items():
                if name != "step":
                    state[name] = place(value)

    def state(self) -> dict[str, Any]:
        """Return what goes on from here needs: masters, moments and steps by name."""
        moments = {name: dict(self.adam.state.get(master, {})) for name, master in self.masters.items()}
        return {"step": self.step, "weights": {n: m.detach() for n, m in self.masters.items()}, "moments": moments}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave, of the same names and shapes."""
        self.step = int(state["step"])
        for name, master in self.masters.items():
            master.copy_(state["weights"][name])
            given = state["moments"][name]
            self.adam.state.pop(master, None)
            if given:
                self.adam.state[master] = {key: value.to(master.device) for key, value in given.items()}
        self.publish()


def _local(tensor: Any) -> Tensor:
    """Return this rank's shard, sharing memory; of a plain tensor itself."""
    from torch.distributed.tensor import DTensor

    whole = tensor.detach()
    return whole.to_local() if isinstance(whole, DTensor) else whole


def _decays(name: str, parameter: Tensor) -> bool:
    """Tell whether weight decay takes a parameter: no bias and no norm."""
    return parameter.dim() > 1 and not name.endswith("bias")
