"""What real ranks hold and keep; imported by ranks."""

from __future__ import annotations

from typing import Any

from tests.pretrain.mcore import cases


def held(given: list[dict[str, Any]]) -> list[dict[str, int]]:
    """Return of each case the parameters and bytes of this rank."""
    from pretrain.mcore import checkpoint, layout, state
    from pretrain.mcore.engine import Engine

    results = []
    for number, case in enumerate(given):
        settings = cases.config(**case)
        (state.groups if number else state.start)(settings)
        engine = Engine(settings)
        parameters = [p for chunk in engine.models for p in chunk.parameters()]
        results.append({
            "parameters": sum(p.numel() for p in parameters),
            "experts": sum(p.numel() for c in engine.models for n, p in c.named_parameters() if ".experts." in n),
            "gradients": sum(p.main_grad.numel() * p.main_grad.element_size() for p in parameters),
            "activations": activations(engine, settings),
            "optimizer": states(engine),
            "save": sum(tensor.data.nbytes for tensor in checkpoint.share(layout.tensors(engine))),
        })  # fmt: skip
    return results


def activations(engine: Any, settings: Any) -> int:
    """Return the bytes of storages that a forward pass of one micro-batch keeps for its backward pass."""
    import torch

    own = {p.untyped_storage().data_ptr() for chunk in engine.models for p in chunk.parameters()}
    storages: dict[int, Any] = {}
    forward = [True]

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if forward[0] and storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    def use(tensor: Any) -> Any:
        forward[0] = False  # what recomputation keeps later on is working memory
        return tensor

    if settings.parallel.pipeline > 1:
        return 0  # its schedule frees outputs, so that addresses are used again
    for chunk in engine.models:
        chunk.train()
    engine.optimizer.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, use):
        engine.backward(cases.micro_batches(settings, 0)[:1])
    return sum(storage.nbytes() for storage in storages.values())


def states(engine: Any) -> int:
    """Return the bytes of the optimizer's states and master copies after a step."""
    engine.apply(engine.backward(cases.micro_batches(engine.settings, 0)))
    total, seen = 0, set()
    shared = {p.untyped_storage().data_ptr() for chunk in engine.models for p in chunk.parameters()}
    for each in engine.optimizer.chained_optimizers:
        for group in each.optimizer.param_groups:
            for parameter in group["params"]:
                tensors = [x for x in each.optimizer.state[parameter].values() if getattr(x, "numel", int)() > 1]
                for tensor in (parameter, *tensors):
                    key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset())
                    if tensor.untyped_storage().data_ptr() not in shared and key not in seen:
                        seen.add(key)
                        total += tensor.numel() * tensor.element_size()
    return total
