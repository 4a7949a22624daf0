"""The `millrace` command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from millrace import __version__
from millrace.config import did_you_mean
from millrace.errors import ConfigError, MillraceError

DONE, FAILED, USAGE, QUARANTINED = 0, 1, 2, 3
RESUME = ("curate", "demo", "pretrain", "align", "evaluate")  # commands that go on from what they left
EXIT_CODES = "exit codes: 0 done, 1 failed, 2 usage, 3 done with quarantined input"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = parser().parse_args(arguments)
    try:
        return int(given.command(given))
    except KeyboardInterrupt:
        return _say(stopped(given), 130)
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        if given.debug:
            raise
        if isinstance(error, ConfigError):
            return _say(str(error), USAGE)
        if isinstance(error, MillraceError):
            return _say(str(error), FAILED)
        return _say(f"{type(error).__name__}: {error} (an error of millrace: --debug shows where)", FAILED)


def stopped(given: argparse.Namespace) -> str:
    """Return what a command that was interrupted says of the next one."""
    return f"stopped; the same command {'resumes' if given.resumes else 'begins anew'}"


def _say(text: str, code: int) -> int:
    print(f"millrace: {' '.join(text.split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"millrace: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = _Parser(prog="millrace", description="Raw crawls to trained language models.", epilog=EXIT_CODES)
    top.add_argument("--version", action="version", version=f"millrace {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Any], int], text: str, example: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=text, epilog=f"example: {example}\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        made.set_defaults(command=run, resumes=name in RESUME)
        made.add_argument("--debug", action="store_true", help="show tracebacks")
        return made

    curate = command(
        "curate",
        _curate,
        "Run a recipe on input files.",
        "millrace curate web --input 'crawl/*.warc.gz' --output runs/web",
    )
    curate.add_argument("recipe", help="web, text, dedup, instruct, a profile, or a YAML file")
    curate.add_argument(
        "--input", nargs="+", default=[], metavar="GLOB", help="files, globs or fsspec URLs; quote globs"
    )
    _add_run_options(curate, required=True)
    curate.add_argument("--plan", action="store_true", help="say what would run, and run nothing")

    demo = command("demo", _demo, "Run the web recipe on a small real crawl, made on this machine.", "millrace demo")
    demo.add_argument(
        "--full", action="store_true",
        help="and on: pretrain, align, evaluate, export and serve a small model (--set STEP.section.field=value too)",
    )  # fmt: skip
    _add_run_options(demo, required=False)

    for name, run, text, example in (
        ("report", _report, "Write report.html of a curation, training or alignment run.", "millrace report runs/web"),
        (
            "clean",
            _clean,
            "Drop the work folder of a run; it cannot be resumed then.",
            "millrace clean runs/web",
        ),
    ):
        command(name, run, text, example).add_argument("run", help="a run folder")
    why = command("why", _why, "Say why a document was kept or dropped.", "millrace why runs/web http://example.com/")
    why.add_argument("run", help="a run folder")
    why.add_argument("id", help="doc_id, id or URL of the document")
    retune = command(
        "retune",
        _retune,
        "Say what other limits would keep, on the signals a run stored; no text is read.",
        "millrace retune runs/web --set GopherQuality.min_words=30",
    )
    retune.add_argument("run", help="a run folder")
    retune.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help="change a limit; repeatable"
    )
    retune.add_argument("--output", default="", metavar="FILE", help="write each document's fate, as Parquet")
    diff = command("diff", _diff, "Say how two runs differ, setting by setting and document by document.",
                   "millrace diff runs/web runs/strict")  # fmt: skip
    for name in ("run", "other"):
        diff.add_argument(name, help="a run folder")
    stages = command("stages", _stages, "List the stages, or describe one.", "millrace stages FuzzyDedup")
    stages.add_argument("name", nargs="?", help="a stage")
    profiles = command("profiles", _profiles, "List the profiles, or show one's limits.", "millrace profiles fineweb")
    profiles.add_argument("name", nargs="?", help="a profile")
    bands = command(
        "bands",
        _bands,
        "Propose bands and rows for near-duplicates, or show what given ones do.",
        "millrace bands --jaccard 0.7",
    )
    bands.add_argument("--jaccard", type=float, default=0.8, metavar="J", help="the wanted threshold (default: 0.8)")
    bands.add_argument("--size", type=_count, default=256, metavar="N", help="values a sketch, at most (default: 256)")
    bands.add_argument("--bands", type=_count, metavar="B", help="show these; with --rows")
    bands.add_argument("--rows", type=_count, metavar="R", help="show these; with --bands")
    training = command(
        "train-classifier",
        _train_classifier,
        "Train a fastText quality classifier, and measure it on documents held out.",
        "millrace train-classifier --positive 'good/*.jsonl' --negative 'web/*.jsonl' --output hq.bin",
    )
    for name, text in (("positive", "documents like those one wants"), ("negative", "documents like any other")):
        training.add_argument(f"--{name}", nargs="+", required=True, metavar="GLOB", help=f"{text}; quote globs")
    training.add_argument("--output", required=True, metavar="FILE.bin", help="the model; its record is FILE.bin.json")
    training.add_argument("--text", default="text", metavar="FIELD", help="field that holds the text (default: text)")
    training.add_argument(
        "--set", action="append", default=[], metavar="TrainQualityClassifier.FIELD=VALUE", help="repeatable"
    )
    from pipelines.pretraining import command as pretraining

    pretraining.arguments(
        command(
            "pretrain",
            pretraining.run,
            "Train a language model on the shards of a run.",
            "millrace pretrain pretrain-tiny --shards runs/demo --output runs/tiny",
        )
    )
    from pipelines.alignment import command as alignment

    alignment.arguments(
        command(
            "align",
            alignment.run,
            "Align a model: fine-tune it, teach it preferences, or reinforce what earns rewards.",
            "millrace align align-sft --model runs/tiny --data chats.jsonl --output runs/chat",
        )
    )
    from pipelines.serving import export as exporting

    exporting.arguments(
        command(
            "export",
            exporting.run,
            "Write a model as a folder that others load, and test it as they would read it.",
            "millrace export runs/chat --to fp8-dynamic --output models/chat-fp8",
        )
    )
    from pipelines.serving import serve as serving

    serving.arguments(
        command(
            "serve",
            serving.run,
            "Serve a model, or put the front before another server: OpenAI's API.",
            "millrace serve runs/chat --port 8000",
        )
    )
    from pipelines.serving import evaluate as evaluating

    evaluating.arguments(
        command(
            "evaluate",
            evaluating.run,
            "Measure a model by tasks on local files, and hold it against another.",
            "millrace evaluate runs/tiny perplexity=held-out.jsonl hellaswag=hellaswag_val.jsonl",
        )
    )
    return top


def _add_run_options(made: argparse.ArgumentParser, required: bool) -> None:
    folder = "the run folder" if required else "the run folder (default: runs/demo; with --full runs/full)"
    made.add_argument("--output", required=required, metavar="RUN", help=folder)
    made.add_argument(
        "--set", action="append", default=[], metavar="STAGE.FIELD=VALUE", help="change a setting; repeatable"
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="local worker processes (default: one a core); 0: none, run in this process",
    )
    where.add_argument(
        "--scheduler", metavar="ADDR", help="address of a running Dask scheduler, such as tcp://host:8786"
    )
    made.add_argument("--tokenizer", metavar="FILE", help="a tokenizer.json; default: train one on the kept text")
    made.add_argument("--device", default="auto", choices=["auto", "cpu", "gpu"])
    made.add_argument("--limit", type=_count, metavar="N", help="read only the first N documents")
    made.add_argument(
        "--forget", metavar="FILE", help="ids of documents to forget for good, one a line: as if never read"
    )
    made.add_argument("--strict", action="store_true", help="stop at the first unreadable file")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _curate(given: Any) -> int:
    from pipelines import recipes

    pipeline = recipes.load(given.recipe, given.input, given.set, given.tokenizer)
    if given.plan:
        from pipelines.plan import describe

        print(describe(pipeline))
        return DONE
    return _run(pipeline, given)


def _demo(given: Any) -> int:
    if given.full:
        from pipelines.full import command

        return command.run(given)
    given.output = given.output or "runs/demo"
    from millrace.progress import Progress
    from pipelines import recipes
    from pipelines.demo_corpus import demo_warcs

    paths = [str(path) for path in demo_warcs(say=Progress().say)]
    return _run(recipes.load("web", paths, given.set, given.tokenizer), given)


def _run(pipeline: Any, given: Any) -> int:
    from curator.report import write_report
    from curator.run.forget import read_ids
    from curator.run.runner import run
    from pipelines.funnel import funnel

    result = run(
        pipeline, given.output, workers=given.workers, scheduler=given.scheduler, device=given.device,
        limit=given.limit, strict=given.strict, forget=read_ids(given.forget) if given.forget else (), quiet=False,
    )  # fmt: skip
    report = write_report(result.folder)
    print(funnel(result.summary))
    print(f"report     {report}")
    return QUARANTINED if result.quarantined else DONE


def _report(given: Any) -> int:
    from millrace import storage
    from pretrain.report.gather import kind_of

    folder = storage.absolute(given.run)
    kind = kind_of(folder)
    if kind == "pretrain":
        from pretrain.report import write_report
    elif kind == "align":
        from align.report import write_report
    else:
        from curator.report import write_report
    print(write_report(folder))
    return DONE


def _clean(given: Any) -> int:
    from curator.run.folder import RunFolder
    from millrace import storage

    folder = RunFolder(storage.absolute(given.run))
    folder.require()
    with folder.locked():
        storage.remove(folder.work)
    return DONE


def _why(given: Any) -> int:
    from curator import why
    from curator.run.folder import RunFolder
    from millrace import storage

    for fate in why.why(RunFolder(storage.absolute(given.run)), given.id):
        print(why.say(fate))
    return DONE


def _retune(given: Any) -> int:
    from curator import retune
    from curator.run.folder import RunFolder
    from millrace import storage

    print(retune.say(retune.retune(RunFolder(storage.absolute(given.run)), given.set, given.output)))
    return DONE


def _diff(given: Any) -> int:
    from curator import diff
    from curator.run.folder import RunFolder
    from millrace import storage

    print(diff.say(diff.diff(*(RunFolder(storage.absolute(run)) for run in (given.run, given.other)))))
    return DONE


def _stages(given: Any) -> int:
    from curator import spec
    from pipelines.describe import describe_stage, list_stages

    known = spec.stages()
    if given.name is None:
        print(list_stages(known))
    elif given.name in known:
        print(describe_stage(known[given.name]))
    else:
        raise ConfigError(
            f"no stage is called {given.name}.{did_you_mean(given.name, known)} Stages: {', '.join(known)}"
        )
    return DONE


def _profiles(given: Any) -> int:
    from pipelines.describe import describe_profile, list_profiles

    print(list_profiles() if given.name is None else describe_profile(given.name))
    return DONE


def _bands(given: Any) -> int:
    from curator.dedup import bands

    if (given.bands is None) != (given.rows is None):
        raise ConfigError("--bands and --rows go together: give both, or none for a proposal")
    if given.bands is None:
        choices = bands.propose(given.jaccard, given.size)
        print(bands.table(choices), end="\n\n")
        given.bands, given.rows = choices[0].bands, choices[0].rows
    print(bands.s_curve(given.bands, given.rows, given.jaccard))
    return DONE


def _train_classifier(given: Any) -> int:
    from pipelines.train_classifier import describe, from_files

    record = from_files(given.positive, given.negative, given.output, given.text, given.set)
    print(describe(record, given.output))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
