"""What ranks do in the tests of the Megatron backend; transformers is in none of these processes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from align.batch import Example, TokenBatch, TokenSequence

LENGTHS = (12, 7, 20, 5, 9, 16, 11, 6)
STEPS = 3
MODELS = ("llama", "llama, scaled, tied, biased", "qwen2", "qwen3", "gpt2", "mixtral")


def examples(vocabulary: int = 500) -> list[Example]:
    """Return sequences of several lengths, each with a prompt of three tokens and candidates of every token."""
    made = []
    for number, length in enumerate(LENGTHS):
        draw = np.random.default_rng([11, number])
        mask = np.arange(length) >= 3
        fields = {"candidates": draw.integers(0, vocabulary, (length - 1, 2))}
        made.append(Example(str(number), (TokenSequence(draw.integers(0, vocabulary, length), mask, fields),)))
    return made


COUNTS = {"tokens": float(sum(length - 3 for length in LENGTHS)), "sequences": float(len(LENGTHS))}


class Everything:
    """A loss of all that a language model gives, so that no gradient is missed."""

    needs = frozenset({"logprobs", "entropy", "candidates"})

    def __call__(self, outputs: Any, batch: TokenBatch, counts: Any) -> Any:
        nll, mask = -outputs.logprobs * batch.mask, batch.mask
        extra = 0.3 * outputs.entropy - 0.2 * outputs.candidates.sum(-1).sin()
        total = (nll + extra * mask).sum() / counts["tokens"]
        whole = ((outputs.logprobs * mask).sum(1) * mask.any(1)).sum().detach()
        return total, {"nll": (nll.sum().detach(), mask.sum()), "whole": (whole, mask.any(1).sum())}


class Values:
    needs = frozenset({"values"})

    def __call__(self, outputs: Any, batch: TokenBatch, counts: Any) -> Any:
        return ((outputs.values - 0.5) ** 2 * batch.mask).sum() / counts["tokens"], {}


class Scores:
    needs = frozenset({"scores"})

    def __call__(self, outputs: Any, batch: TokenBatch, counts: Any) -> Any:
        real = (batch.example >= 0)[:, None]
        return ((outputs.scores - 0.5) ** 2 * real).sum() / counts["sequences"], {}


LOSSES: dict[str, Any] = {"lm": Everything(), "value": Values(), "reward": Scores()}


def policy(folder: str, head: str = "lm", **given: Any) -> Any:
    """Open a policy; parallel sizes, precision and LoRA may be given. Groups are formed anew."""
    from align.backends.megatron.policy import MegatronPolicy
    from pretrain.mcore import state

    if given.pop("anew", True):
        state.leave()
    return MegatronPolicy(settings(folder, head, **given))


def settings(folder: str, head: str = "lm", outputs: int = 0, trained: bool = True, **given: Any) -> Any:
    """Return what opens a policy, on either backend."""
    from align.backends.settings import PolicySettings
    from align.config import Model, Peft
    from pretrain.config import Optimizer, Parallel

    outputs = outputs or (2 if head == "reward" else 1)
    adapters = Peft(rank=4, alpha=8.0, targets=tuple(given.get("targets", ())), dropout=given.get("dropout", 0.0))
    peft = adapters if given.get("lora") else None
    model = Model(precision=given.get("precision", "fp32"), recompute=given.get("recompute", False), peft=peft)
    sizes = {"overlap": False, "distributed_optimizer": False, **given.get("parallel", {})}
    # eps above the roundings of gradients whose norm is up to 100: Adam would make whole steps of them
    optimizer = Optimizer(lr=1e-2, min_lr=1e-3, warmup_steps=2, weight_decay=0.1, eps=1e-4) if trained else None
    return PolicySettings(
        folder, head, outputs, model, optimizer, 20, Parallel(**sizes), 3, given.get("temperature", 1.0)
    )  # type: ignore[arg-type]


def batches(made: Any, each: int = 2, width: int = 0) -> list[TokenBatch]:
    """Return this data rank's micro-batches of `each` examples; width: packed into rows of so many tokens."""
    from align.layout import empty, packed, padded

    whole, share = examples(), []
    groups = [whole[n : n + each] for n in range(0, len(whole), each)]
    for number, group in enumerate(groups):
        if number % made.data_ranks == made.data_rank:
            places = [int(example.id) for example in group]
            share.append(packed(group, width, places) if width else padded(group, places))
    wanted = -(-len(groups) // made.data_ranks)
    return share + [empty(whole[0])] * (wanted - len(share))


def curve(made: Any, steps: int = STEPS, **given: Any) -> list[list[float]]:
    """Train; return (loss, norm, learning rate, metrics) of each step."""
    found = []
    for _ in range(steps):
        result = made.train_step(batches(made, **given), LOSSES[made.head], COUNTS)
        assert result.applied
        found.append([result.loss, result.grad_norm, result.lr, *result.metrics.values()])
    return found


def whole_batch(width: int = 0) -> TokenBatch:
    from align.layout import packed, padded

    return packed(examples(), width) if width else padded(examples())


def given(outputs: Any) -> dict[str, Any]:
    return {name: value.tolist() for name, value in vars(outputs).items() if value is not None}


def seen(made: Any, width: int = 0) -> dict[str, Any]:
    """Return all outputs of the eight examples in one batch, as lists."""
    batch = [whole_batch(width)]
    if made.head == "value":
        return {"values": made.values(batch)[0].tolist()}
    if made.head == "reward":
        return {"scores": made.scores(batch)[0].tolist()}
    found = given(made.logprobs(batch, entropy=True, candidates=True)[0])
    top = made.logprobs(batch, top_k=3)[0]
    return found | {"top": top.top.tolist(), "likely": top.candidates.tolist()}


def digest(made: Any) -> dict[str, str]:
    """Return a hash of every whole weight by its Hugging Face name."""
    return {n: hashlib.sha256(w.cpu().contiguous().numpy().tobytes()).hexdigest() for n, w in made.named_weights()}


def requests() -> list[Any]:
    from align.rollout.generator import Request

    return [Request(examples()[n].sequences[0].tokens[: 3 + n], 100 + n) for n in range(5)]


def sampling(made: Any) -> Any:
    from align.rollout.generator import Sampling

    return Sampling(10, made.settings.temperature, stop=tuple(range(20)))


def completions(made: Any, together: bool = True) -> list[list[Any]]:
    """Return tokens, log-probabilities and ends of five requests, at once or one by one, and the policy's own."""
    from align.layout import padded
    from align.rollout.megatron import MegatronGenerator

    by, how, asked = MegatronGenerator(made), sampling(made), requests()
    rollouts = by.generate(asked, how) if together else [by.generate([one], how)[0] for one in asked]
    found = []
    for request, rollout in zip(asked, rollouts, strict=True):
        tokens = np.concatenate([request.prompt, rollout.tokens])
        mask = np.arange(len(tokens)) >= len(request.prompt)
        own = made.logprobs([padded([Example("", (TokenSequence(tokens, mask),))])])[0].logprobs[0]
        found.append(
            [rollout.tokens.tolist(), rollout.logprobs.tolist(), rollout.finish,
             own[len(request.prompt) - 1 :].tolist(), rollout.version]
        )  # fmt: skip
    return found


def queued(made: Any, number: int) -> list[list[int]]:
    """Return the tokens of the same requests from the queue, whose chunks go to whole copies of the model."""
    import torch

    from align.rollout.megatron import MegatronGenerator
    from align.rollout.queue import collect

    store = torch.distributed.distributed_c10d._get_default_store()
    workers, how = torch.distributed.get_world_size(), sampling(made)
    found = collect(requests(), how, MegatronGenerator(made), store, f"queue {number}", chunk=2, workers=workers)
    return [rollout.tokens.tolist() for rollout in found.rollouts]


# What one process does


def alone(place: str, models: list[str]) -> dict[str, Any]:
    """Return what tests ask of one process, by what it is about."""
    found: dict[str, Any] = {name: language_model(f"{place}/{name}") for name in models}
    llama = f"{place}/llama"
    found["splits"] = {
        "one of 8": curve(policy(llama), each=8),
        "of 1": curve(policy(llama), each=1),
        "of 3": curve(policy(llama), each=3),
        "packed": curve(policy(llama), each=4, width=33),
        "recomputed": curve(policy(llama, recompute=True)),
    }
    found["bf16"] = curve(policy(llama, precision="bf16"))
    found["resume"] = resume(llama, f"{place}/saved")
    found["discarded"] = discarded(llama)
    found["offloaded"] = offloaded(llama)
    found["refused"] = refused(place)
    for head in ("value", "reward"):
        made = policy(f"{place}/{head}", head)
        found[head] = {"seen": seen(made), "packed": seen(made, 33), "curve": curve(made), "trained": seen(made)}
        made.export(f"{place}/{head}-exported")
        few = _loaded(policy(f"{place}/{head}", head, lora=True), f"{place}/{head}-peft")
        found[f"lora {head}"] = {"loaded": seen(few), "curve": curve(few), "trained": seen(few)}
        few.export(f"{place}/{head}-adapted")
    frozen = policy(llama, trained=False)
    frozen.offload()
    frozen.onload()
    found["frozen"] = seen(frozen)
    found["fresh head"] = [seen(policy(llama, "value")), seen(policy(llama, "value"))]
    for name in ("llama", "qwen2", "gpt2"):
        found[f"lora {name}"] = adapted(place, name)
    found["lora recomputed"] = curve(_loaded(policy(llama, lora=True, recompute=True), f"{place}/llama-peft"))
    return found


def language_model(folder: str) -> dict[str, Any]:
    made = policy(folder)
    first, warm = seen(made), policy(folder, trained=False, temperature=0.5, anew=False)
    result: dict[str, Any] = {
        "seen": first, "packed": seen(made, 33), "warm": seen(warm), "weights": digest(made),
        "together": completions(made), "one by one": completions(made, together=False),
        "warm completions": completions(warm), "curve": curve(made),
    }  # fmt: skip
    made.export(f"{folder}-exported")
    return result | {"trained": seen(made), "later": completions(made)[0][4]}


def resume(folder: str, place: str) -> list[Any]:
    """Return steps 3 and 4 of an unbroken run and of one that was saved and opened anew; weights, adapters, dropout."""
    found: list[Any] = []
    for number, kind in enumerate(({}, {"lora": True}, {"lora": True, "dropout": 0.3})):
        made = policy(folder, **kind)
        curve(made, 2)
        Path(f"{place}-{number}").mkdir()
        made.save(f"{place}-{number}")
        unbroken, version = curve(made, 2), made.version
        again = policy(folder, **kind)
        again.load(f"{place}-{number}")
        resumed = curve(again, 2)
        size = sum(path.stat().st_size for path in Path(f"{place}-{number}").iterdir())
        found.append([unbroken, resumed, version, again.version, digest(made) == digest(again), size])
    return found


def discarded(folder: str) -> dict[str, Any]:
    """Return what a step whose loss is no number, and one whose gradients are none, leave behind."""
    made = policy(folder)
    before, found = digest(made), {}
    for name, factor in (("loss", float("nan")), ("gradients", 1e30)):

        class Spoilt(Everything):
            def __call__(self, outputs: Any, batch: TokenBatch, counts: Any, factor: float = factor) -> Any:
                total, metrics = super().__call__(outputs, batch, counts)
                # 1e30: the loss is finite, the square of its gradients is not
                return total * factor, metrics

        result = made.train_step(batches(made), Spoilt(), COUNTS)
        found[name] = [result.applied, made.version, digest(made) == before]
    found["then"] = curve(made, 1)
    return found


def offloaded(folder: str) -> dict[str, Any]:
    """Return a curve with everything moved out and back between its steps, and what is said in between."""
    from align.errors import AlignSettingsError

    made, said, found = policy(folder), [], []
    for parts in ((), ("weights",), ("optimizer",)):
        found += curve(made, 1)
        made.offload(*parts)
        held = sum(p.untyped_storage().nbytes() for chunk in made.engine.chunks for p in chunk.parameters())
        try:
            made.train_step(batches(made), LOSSES["lm"], COUNTS)
        except AlignSettingsError as error:
            said.append([str(error), held])
        made.onload()
    return {"curve": found, "said": said}


def refused(place: str) -> dict[str, str]:
    """Return what is said of each mistake."""
    from align.errors import AlignError
    from align.layout import padded
    from align.rollout.generator import Request, Sampling
    from align.rollout.megatron import MegatronGenerator
    from pretrain.errors import CheckpointError

    llama = f"{place}/llama"
    made, frozen = policy(llama), policy(llama, trained=False, anew=False)
    long = Example("", (TokenSequence(np.zeros(40, np.int64), np.ones(40, bool)),))
    foreign = Example("", (TokenSequence(np.full(4, 500), np.ones(4, bool)),))
    tries = {  # those that open a policy let the groups of `made` go
        "frozen": lambda: frozen.train_step(batches(frozen), LOSSES["lm"], COUNTS),
        "nothing": lambda: made.train_step([], LOSSES["lm"], COUNTS),
        "head": lambda: made.values([whole_batch()]),
        "reference": lambda: made.reference(),
        "long": lambda: made.logprobs([padded([long])]),
        "foreign": lambda: made.logprobs([padded([foreign])]),
        "load": lambda: made.load(f"{place}/absent"),
        "prompt": lambda: MegatronGenerator(made).generate([Request(np.zeros(30, np.int64), 0)], Sampling(3)),
        "context": lambda: policy(llama, parallel={"context": 2}),
        "tensor": lambda: policy(llama, parallel={"tensor": 2}),
        "folder": lambda: policy(f"{place}/absent"),
        "target": lambda: policy(llama, lora=True, targets=["q_prj"]),
        "adapter": lambda: policy(llama, lora=True).load_adapter(f"{place}/gpt2-peft"),
        "no adapters": lambda: policy(llama).load_adapter(f"{place}/llama-peft"),
        "scores": lambda: policy(f"{place}/reward"),
    }
    said = {}
    for name, attempt in tries.items():
        try:
            attempt()
            said[name] = ""
        except (AlignError, CheckpointError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def _loaded(made: Any, folder: str) -> Any:
    made.load_adapter(folder)
    return made


def adapted(place: str, name: str) -> dict[str, Any]:
    """Return a policy's outputs: with peft's adapters, without, trained, merged; how it trains; what moved."""
    made = policy(f"{place}/{name}", lora=True)
    fresh = seen(made)
    made.load_adapter(f"{place}/{name}-peft")
    before = {n: w.clone() for n, w in made.engine.chunks[0].named_parameters() if not w.requires_grad}
    with made.reference():
        without = seen(made)
    found = {"fresh": fresh, "loaded": seen(made), "without": without, "curve": curve(made), "trained": seen(made)}
    found["frozen"] = all(w.equal(before[n]) for n, w in made.engine.chunks[0].named_parameters() if n in before)
    found["count"] = sum(w.numel() for w in made.engine.chunks[0].parameters() if w.requires_grad)
    made.export(f"{place}/{name}-adapted")
    return found | {"merged": seen(policy(f"{place}/{name}-adapted", trained=False, anew=False))}


# What several ranks do


def spread(place: str, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Open, look at, complete with and train a policy under each case's sizes."""
    found = []
    for number, case in enumerate(cases):
        name = case["model"]
        given_ = {key: case[key] for key in ("head", "lora", "parallel", "recompute") if key in case}
        made = policy(f"{place}/{name}", **given_)
        if case.get("lora"):
            made.load_adapter(f"{place}/{name}-peft")
        result: dict[str, Any] = {"seen": seen(made)}
        if made.head == "lm" and not case.get("experts"):
            result["completions"] = completions(made)
        if made.head == "lm" and not case.get("experts"):
            result["queue"] = queued(made, number)
        result["weights"] = digest(made) if case.get("weights", True) else {}
        result["curve"] = curve(made, **case.get("batches", {}))
        result["trained"] = seen(made)
        if "export" in case:
            made.export(f"{place}/{case['export']}")
        if "save" in case:
            Path(case["save"]).mkdir(exist_ok=True)
            made.save(case["save"])
            unbroken = curve(made, 1)
            again = policy(f"{place}/{name}", **given_)
            again.load(case["save"])
            result["resumed"] = [unbroken, curve(again, 1)]
        found.append(result)
    return found
