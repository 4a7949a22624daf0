"""What a run came to, as a table for a terminal."""

from __future__ import annotations

from typing import Any


def funnel(summary: dict[str, Any]) -> str:
    """Return documents and characters after each stage, the reasons, and what was skipped."""
    lines = [f"{'stage':<18}{'documents':>11}{'characters':>14}  dropped"]
    for stage in summary["stages"]:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in stage["rejected"].items())
        lines.append(
            f"{stage['stage']:<18}{stage['documents_out']:>11,}{stage['characters_out']:>14,}  {reasons}".rstrip()
        )
    if summary["skipped"]:
        skipped = ", ".join(f"{kind} {count:,}" for kind, count in summary["skipped"].items())
        lines.append(f"skipped    {skipped}")
    if tokens := summary["tokens"]:
        lines.append(
            f"tokens     {tokens['tokens']:,} in {tokens['rows']:,} rows of {tokens['seq_length']:,} "
            f"({tokens['fill']:.1%} full), vocabulary {tokens['vocab_size']:,}"
        )
    lines += [f"quarantined {bad['file']}: {bad['reason']}" for bad in summary.get("quarantined", [])]
    lines.append(f"seconds    {summary['seconds']:.1f} on {summary['workers']} workers, {summary['device']}")
    return "\n".join(lines)
