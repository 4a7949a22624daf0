"""The steps of `millrace demo --full`, as data: what each needs, what it makes, and the command that makes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import ConfigError

MILLRACE = (sys.executable, "-m", "pipelines.cli")
ALIGNED = ("sft", "dpo", "grpo")  # each from the model of the one before
MODELS = ("pretrain", *ALIGNED)
PRETRAINING = "pretraining/pretrain-demo.yaml"
HELD = {"sft": "sections", "dpo": "pairs", "grpo": "tasks"}  # what each is validated on


@dataclass(frozen=True)
class Step:
    """One command, which goes on where it was killed when it is run again."""

    name: str
    does: str
    command: tuple[str, ...]
    makes: str  # a path below the demo's folder that is there once the step is done, and not before
    needs: tuple[str, ...] = ()  # steps before it: where one is done anew, this is too
    shaping: tuple[str, ...] = ()  # files of this package whose content shapes it: its recipe, its code

    @property
    def folder(self) -> str:
        """What is removed where the step must begin anew."""
        return self.makes.partition("/")[0]


@dataclass(frozen=True)
class Wishes:
    """What the steps are told beside their recipes: `--set` by step, and options of curation."""

    settings: dict[str, tuple[str, ...]] = field(default_factory=dict)  # step -> section.field=value
    curation: tuple[str, ...] = ()  # further options of `millrace demo`


def wishes(given: Sequence[str], curation: Sequence[str] = ()) -> Wishes:
    """Sort `--set STEP.section.field=value` by step; what begins with no step is a setting of a stage of curation.

    Raises ConfigError for what begins with neither a step that takes settings nor a stage's capital.
    """
    taking = ("curate", *MODELS)
    found: dict[str, tuple[str, ...]] = {}
    for one in given:
        head, _, rest = one.partition(".")
        if head[:1].isupper():
            head, rest = "curate", one
        if head not in taking or not rest:
            raise ConfigError(
                f"--set {one}: {head} is no step that takes settings.{did_you_mean(head, taking)} "
                f"Steps: {', '.join(taking)}; or a stage of curation, such as Tokenize.vocab_size=8000"
            )
        found[head] = (*found.get(head, ()), rest)
    return Wishes(found, tuple(curation))


def steps(folder: str, wanted: Wishes) -> list[Step]:
    """Return the steps in the order they run, with the commands a user could give by hand."""

    def at(name: str) -> str:
        return storage.join(folder, name)

    def settings(step: str) -> list[str]:
        return [word for one in wanted.settings.get(step, ()) for word in ("--set", one)]

    data = at("data")
    made = [
        Step("curate", "crawl a small site and curate it",
             (*MILLRACE, "demo", "--output", at("curation"), "--set", "Tokenize.vocab_size=4096",
              "--set", "Pack.seq_length=512", *settings("curate"), *wanted.curation), "curation/run.json"),
        Step("data", "make alignment data by script",
             (sys.executable, "-m", "pipelines.full.records", "--curation", at("curation"), "--output", data,
              *settings("pretrain")), "data/manifest.json", ("curate",),
             (PRETRAINING, *_ours("records", "documents", "sections", "tasks", "draw"))),
        Step("pretrain", "train a small model",
             (*MILLRACE, "pretrain", "pretrain-demo", "--shards", at("curation"), "--output", at("pretrain"),
              "--set", f"data.clusters={data}/clusters.parquet", *settings("pretrain")), "pretrain/hf/config.json",
             ("data",), (PRETRAINING,)),
    ]  # fmt: skip
    for before, name in zip(MODELS, ALIGNED):
        held = f"{data}/held/{HELD[name]}.jsonl"
        template = ("--set", f"model.template={resources.files(__package__) / 'demo.jinja'}") if name == "sft" else ()
        written = ("full/demo.jinja",) if name == "sft" else ()
        made.append(
            Step(name, {"sft": "fine-tune on sections and form", "dpo": "prefer true sections to mismatched ones",
                        "grpo": "reinforce right answers in the right form"}[name],
                 (*MILLRACE, "align", f"demo-{name}", "--model", at(before), "--data", f"{data}/{name}.jsonl",
                  "--output", at(name), "--set", f"data.validation={held}", *template, *settings(name)),
                 f"{name}/hf/config.json", (before, "data"), (f"alignment/demo-{name}.yaml", *written))
        )  # fmt: skip
    return [*made, *_after(folder)]


def _after(folder: str) -> list[Step]:
    """Return the steps once all models are there."""

    def at(*names: str) -> str:
        return storage.join(folder, *names)

    def ours(module: str, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", f"pipelines.full.{module}", *arguments)

    return [
        Step("evaluate", "measure each model on what was held out", ours("measures", "--folder", folder),
             "evaluation/done.json", (*MODELS, "data"), _ours("measures", "tasks")),
        Step("export", "write the model for others to load",
             (*MILLRACE, "export", at(MODELS[-1]), "--to", "hf", "--output", at("export", "hf")),
             "export/hf/config.json", (MODELS[-1],)),
        Step("serve", "serve it, and ask one question over HTTP",
             ours("answer", "--model", at("export", "hf"), "--data", at("data"), "--before",
                  at("evaluation", f"{MODELS[0]}.json"), "--output", at("served")),
             "served/answer.json", ("export", "evaluate"), _ours("answer")),
        Step("page", "put it all on one page", ours("page", "--folder", folder), "report.html", ("serve",),
             ("full/page.css", *_ours("page", "gather"))),
    ]  # fmt: skip


def shaped_by(step: Step) -> bytes:
    """Return the content of the files that shape a step."""
    return b"".join(resources.files("pipelines").joinpath(name).read_bytes() for name in step.shaping)


def _ours(*modules: str) -> tuple[str, ...]:
    """Return the files of modules beside this one."""
    return tuple(f"full/{name}.py" for name in modules)
