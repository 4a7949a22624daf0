"""What each step came to, in half a line."""

from __future__ import annotations

from collections.abc import Callable

from millrace import storage
from pipelines.full.plan import ALIGNED, MODELS
from pipelines.full.tasks import WEIGHT


def told(folder: str, name: str) -> str:
    """Say it of a step that is done."""
    say, place = SAID[name]
    return say(storage.join(folder, *place))


def _curated(run: str) -> str:
    found = storage.read_json(storage.join(run, "run.json"))
    return f"{found['documents']:,} of {found['read']:,} documents kept, {found['tokens']['tokens']:,} tokens"


def _made(folder: str) -> str:
    found = storage.read_json(storage.join(folder, "manifest.json"))["counts"]
    return (
        f"{found['sections learnt']:,} sections and {found['tasks learnt']:,} tasks; held out "
        f"{found['sections held out']:,} and {found['tasks held out']:,}"
    )


def _trained(run: str) -> str:
    from pretrain.report.gather import gather

    facts = gather(run)
    losses, levels = facts.log.validations["validation_loss"], facts.run.get("baselines") or {}
    beside = "".join(
        f", {said} {levels[name]:.3f}"
        for name, said in (("unigram_entropy", "unigram"), ("bigram_cross_entropy", "bigram"))
        if name in levels
    )
    return f"validation loss {losses[-1]:.3f} nats a token{beside}" if len(losses) else ""


def _aligned(run: str) -> str:
    from align.report.charts import early_and_late, last
    from align.report.gather import gather

    facts = gather(run)
    if facts.method == "sft":
        losses = facts.validations["loss"]
        return f"held-out loss {losses[0]:.3f} to {losses[-1]:.3f} nats a token"
    if facts.method == "dpo":  # before the first step both models are one, and no margin is above 0
        return f"held-out accuracy {last(facts.validations, 'accuracy'):.3f}, chance 0.5"
    early, late = early_and_late(facts.steps, "reward")
    return f"reward {early:.3f} to {late:.3f} of {1 + WEIGHT}"


def _measured(folder: str) -> str:
    found = [storage.read_json(storage.join(folder, f"{name}.json"))["tasks"] for name in MODELS[-2:]]
    before, after = (one["tasks"]["measures"]["sampled/reward"]["value"] for one in found)
    return f"held-out reward {before:.3f} before GRPO, {after:.3f} after"


def _exported(folder: str) -> str:
    return f"{sum(file.bytes for file in storage.find(storage.join(folder, '**', '*'))):,} bytes"


def _answered(url: str) -> str:
    found = storage.read_json(url)
    return f"{found['question']} {found['after'].strip()}"


SAID: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "curate": (_curated, ("curation",)), "data": (_made, ("data",)), "pretrain": (_trained, ("pretrain",)),
    **{name: (_aligned, (name,)) for name in ALIGNED},
    "evaluate": (_measured, ("evaluation",)), "export": (_exported, ("export", "hf")),
    "serve": (_answered, ("served", "answer.json")), "page": (str, ("report.html",)),
}  # fmt: skip
