"""What a training run came to, in a few lines for a terminal."""

from __future__ import annotations

from millrace import storage
from pretrain.report.gather import gather

NAMES = {"unigram_entropy": "unigram entropy", "bigram_cross_entropy": "bigram model"}


def summary(folder: str) -> str:
    """Return steps, tokens, speed, and the validation loss beside what simple models of the same tokens reach."""
    facts = gather(folder)
    steps, validations = facts.log.steps, facts.log.validations
    if not len(steps["step"]):
        return "no step is done"
    busy = float((steps["train_seconds"] + steps["data_seconds"]).sum())
    labels = int(steps["tokens"][-1])
    # the last attempt's saves, one a step: those before a restart were of steps whose lines were cut
    saves = {event["step"]: event["blocked_seconds"] for event in facts.events if event["kind"] == "save"}
    blocked, seconds = sum(saves.values()), float(steps["seconds"].sum())
    share = blocked / max(seconds, 1e-9)
    lines = [
        f"steps      {int(steps['step'][-1]):,}, {labels:,} tokens, {labels / max(busy, 1e-9):,.0f} a second",
        f"loss       {steps['loss'][-1]:.4f} nats a token in the last step, {int(steps['skipped'].sum())} skipped",
        f"seconds    {seconds:.0f}, of which {len(saves)} saves blocked {blocked:.1f} ({share:.1%})",
    ]
    if len(validations["step"]):
        loss, perplexity = (float(validations[name][-1]) for name in ("validation_loss", "perplexity"))
        lines.append(f"validation {loss:.4f} nats a token, perplexity {perplexity:,.1f}")
        for name, value in facts.run.get("baselines", {}).items():
            lines.append(f"           {value:.4f} {NAMES.get(name, name)} of the same tokens ({value - loss:+.4f})")
    exported = storage.join(folder, "hf")
    if storage.exists(exported):
        lines.append(f"model      {exported}")
    return "\n".join(lines)
