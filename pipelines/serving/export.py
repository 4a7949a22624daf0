"""`millrace export`: a model into a folder that others load, tested before it has its name."""

from __future__ import annotations

import argparse
from typing import Any


def arguments(made: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made.add_argument(
        "model", nargs="?", help="a run, a checkpoint of one (RUN/checkpoints/step-...), or a Hugging Face folder"
    )
    made.add_argument("--to", metavar="FORMAT", help="the format; --list says which there are")
    made.add_argument("--output", metavar="FOLDER", help="the folder to write; one that is an export is replaced")
    made.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the format; repeatable"
    )
    made.add_argument("--list", action="store_true", help="list the formats with their settings, and end")
    made.add_argument("--plan", action="store_true", help="say which files of weights would be written; write nothing")


def run(given: Any) -> int:
    """Export, or say what would be written."""
    from millrace.errors import ConfigError
    from serve.export.export import export, refuse_place
    from serve.export.formats import format_named, listed
    from serve.export.opening import open_source

    if given.list:
        print(listed())
        return 0
    if not (given.model and given.to):
        raise ConfigError("name a model and a format: millrace export MODEL --to FORMAT; --list says which there are")
    target = format_named(given.to, given.set)
    if not (given.output or given.plan):
        raise ConfigError("--output FOLDER says where the export is to lie; --plan writes nothing and needs none")
    source = open_source(given.model)
    if given.plan:
        target.refuse(source)
        if given.output:
            refuse_place(source, given.output)
        print(planned(source, target))
        return 0
    print(told(source, export(source, target, given.output)))
    return 0


def planned(source: Any, target: Any) -> str:
    """Return the files of weights, with their sizes, that an export would write."""
    from serve.export.formats import settings_of

    files = target.plan(source)
    lines = [described(source), f"format     {settings_of(target)}"]
    lines += [f"file       {name}  {size:,} bytes" for name, size in files.items()]
    lines.append(f"weights    {sum(files.values()):,} bytes in {_count(len(files), 'file')}")
    return "\n".join([*lines, "beside     configuration, tokenizer, model card and the test's record, not counted"])


def described(source: Any) -> str:
    """Return what is exported, in a line."""
    from serve.export.export import parameters

    head = f", {_count(source.outputs, 'score')}" if source.outputs else ""
    return f"model      {source.name}: {source.family}{head}, {parameters(source):,} parameters in {source.dtype}"


def told(source: Any, made: Any) -> str:
    """Return what an export came to."""
    verdict = made.verdict
    calibrated = f", {made.calibration_seconds:.1f} s of calibration" if made.calibration_seconds else ""
    cosine = "not computed" if verdict.cosine is None else f"{verdict.cosine:.6f} at the worst position"
    lines = [
        described(source),
        f"written    {_count(made.tensors, 'tensor')} to {_count(made.files, 'file')}, {made.bytes:,} bytes",
        f"took       {made.conversion_seconds:.1f} s of conversion{calibrated}, {made.test_seconds:.1f} s of test",
        f"tested     {verdict.compared} tensors, largest difference {verdict.worst:.2g} of a tensor's size",
        f"cosine     {cosine}, of logits to the source's",
    ]  # fmt: skip
    if verdict.scales:
        lines.append(f"scales     {verdict.scales[0]:.3g} to {verdict.scales[1]:.3g}")
    lines += [f"note       {note}" for note in verdict.notes]
    return "\n".join([*lines, f"lies in    {made.folder}"])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
