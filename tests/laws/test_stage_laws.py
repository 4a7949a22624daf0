"""Laws that every stage obeys, applied to every public stage by themselves."""

from __future__ import annotations

import atexit
import dataclasses
import importlib.util
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import curator
from curator import frames, spec
from curator.pipeline import Pipeline
from curator.schema import arrow_schema, arrow_type
from curator.stage import CorpusStage, Filter, Mapper, Reader, Stage
from tests import strict_cudf
from tests.corpus import documents
from tests.curator.fasttext_file import write_model as write_fasttext
from tests.curator.filter.arpa_file import write_model as write_arpa
from tests.curator.filter.classifier_model import write_model as write_classifier

_FOLDER = tempfile.TemporaryDirectory()
atexit.register(_FOLDER.cleanup)
MODELS = Path(_FOLDER.name)  # small ones, written here

WORDS = Path(__file__).parents[1] / "curator" / "filter" / "words"  # lists of harmless words for C4BadWords
GOLDEN = Path(__file__).parents[1] / "golden"

# One instance of every public stage, with settings other than the defaults. A new stage needs a line here.
EXAMPLES: dict[str, Stage] = {
    "ReadWarc": curator.ReadWarc("*.warc.gz", source="crawl"),
    "ReadJsonl": curator.ReadJsonl("*.jsonl", text="content", part_mb=3),
    "ReadParquet": curator.ReadParquet("*.parquet", part_mb=3),
    "ReadConversations": curator.ReadConversations("*.json", texts=("prompt", "response")),
    "ExtractHtml": curator.ExtractHtml("resiliparse"),
    "FixUnicode": curator.FixUnicode("NFKC"),
    "RedactPii": curator.RedactPii(
        entities=("email", "phone", "secret"), action="drop", max_entities=2, disguised=True
    ),
    "RefinedWebLines": curator.RefinedWebLines(max_upper=0.4, counters=("like",), ends=()),
    "RemoveBoilerplate": curator.RemoveBoilerplate("line", "anywhere", phrases=("the",)),
    "RemoveUrls": curator.RemoveUrls(min_characters=2),
    "RemoveCitations": curator.RemoveCitations(phrases=("sic",)),
    "RemoveMarkdown": curator.RemoveMarkdown(headings=False),
    "RemoveRepeatedLines": curator.RemoveRepeatedLines("paragraph", min_unit_characters=2, normalise="words"),
    "RemoveBlankLines": curator.RemoveBlankLines(max_blank_lines=0),
    "IdentifyLanguage": curator.IdentifyLanguage(keep=("en", "de"), min_score=0.5),
    "GopherQuality": curator.GopherQuality(min_words=20),
    "GopherRepetition": curator.GopherRepetition(),
    "DolmaRepetition": curator.DolmaRepetition(),
    "FineWebQuality": curator.FineWebQuality(max_newline_ratio=0.5),
    "NemoEnglish": curator.NemoEnglish(min_words=5),
    "C4Lines": curator.C4Lines(min_words=2, max_cut=0.9),
    "C4Quality": curator.C4Quality(min_sentences=2),
    "C4Paragraphs": curator.C4Paragraphs(min_paragraph_characters=20),
    "C4BadWords": curator.C4BadWords((str(WORDS / "en.txt"), str(WORDS / "ja")), keep_fraction=0.5),
    "LanguageQuality": curator.LanguageQuality(min_words=20, unknown="drop"),
    "CodeQuality": curator.CodeQuality(min_lines=3),
    "ClassifierFilter": curator.ClassifierFilter(
        write_fasttext(MODELS / "two.bin", known={"hq": ["the", "river"], "lq": ["now", "and"]}),
        max_score=0.9,
        pareto_alpha=9.0,
    ),
    "ModelScore": curator.ModelScore(
        write_classifier(MODELS / "classifier", ["the", "river", "and"]),
        label="good",
        keep=("good", "fair"),
        min_score=0.2,
        max_score=0.9,
        batch_tokens=300,
    ),
    "Perplexity": curator.Perplexity(
        write_arpa(MODELS / "small.arpa"),
        head=20.0,
        tail=40.0,
        keep=("head", "middle"),
        max_perplexity=90.0,
        min_perplexity=2.0,
    ),
    "TopShare": curator.TopShare("quality_score", 0.3),
    "UrlFilter": curator.UrlFilter(domains=(str(GOLDEN / "domains.txt"),), max_soft_words=3),
    "Decontaminate": curator.Decontaminate(str(GOLDEN / "benchmark.jsonl"), ngram=10, max_documents=3, action="cut"),
    "ExactDedup": curator.ExactDedup(normalise="words", keep="longest"),
    "FuzzyDedup": curator.FuzzyDedup(jaccard=0.7, bands=10, rows=5, keep="longest"),
    "SemanticDedup": curator.SemanticDedup(embedding="embedding", eps=0.05, clusters=7, keep="easy"),
    "ParagraphDedup": curator.ParagraphDedup(max_copies=3, keep="none", normalise="words"),
    "LineDedup": curator.LineDedup(min_characters=5, max_cut=0.9),
    "SubstringDedup": curator.SubstringDedup(min_bytes=60, max_cut=0.9),
    "Tokenize": curator.Tokenize(vocab_size=500),
    "Pack": curator.Pack(seq_length=64),
}
OPTIONAL = {"Perplexity": "kenlm"}  # packages of extras that dev does not bring
ON_BATCHES = {
    name: stage
    for name, stage in EXAMPLES.items()
    if not isinstance(stage, Reader) and importlib.util.find_spec(OPTIONAL.get(name, "curator"))
}
HOSTILE = [
    "",
    " ",
    None,
    "a\nb\r\nc\u2028d",
    "İstanbul ǅ ß ﬁ",
    "\U0001f600" * 3,
    "the " * 300,
    "\u0000\u0007x",
    "<p>1 < 2 &amp; 3",
]


def batch(columns: dict[str, str]) -> pd.DataFrame:
    """A batch that has the columns a stage reads, hostile documents among them, its index not from 0."""
    texts = [record["text"] for record in documents(30, seed=3)] + HOSTILE
    made: dict[str, Any] = {}
    for name, kind in columns.items():
        if name == "doc_id":
            made[name] = pa.array(range(len(texts)), pa.uint64())
        elif name == "html":
            made[name] = [t and f"<html><body><main><p>{t}</p></main></body></html>" for t in texts]
        elif kind == "string":
            made[name] = texts if name == "text" else [f"{name}-{i}" for i in range(len(texts))]
        elif kind == "float32":
            made[name] = [None, 0.0, *np.random.default_rng(1).normal(size=len(texts) - 2).tolist()]
        else:
            lists = np.random.default_rng(1).integers(0, 500, (len(texts), 7)).tolist()
            hostile = [None, [], [0] * 7] if kind == "list<float32>" else []
            made[name] = pa.array(lists[len(hostile) :] + hostile, arrow_type(kind))
    made.setdefault("doc_id", pa.array(range(len(texts)), pa.uint64()))
    frame = frames.from_arrow(pa.table(made).cast(arrow_schema({n: columns.get(n, "uint64") for n in made})))
    frame.index = pd.RangeIndex(100, 100 + len(frame))
    return frame


def apply(stage: Stage, frame: Any) -> Any:
    """Do to a frame what the stage does to a batch."""
    match stage:
        case Mapper():
            return stage.map(frame)
        case Filter():
            return stage.measure(frame)
        case CorpusStage():
            return stage.sketch(frame)
    raise AssertionError(stage)


def plain(frame: Any) -> pa.Table:
    return frames.to_arrow(frame)


def test_every_public_stage_has_an_example():
    assert set(EXAMPLES) == set(spec.stages())


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_frozen_hashable_picklable_and_printable(name):
    stage = EXAMPLES[name]
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert hash(stage) == hash(pickle.loads(pickle.dumps(stage)))
    field = dataclasses.fields(stage)[0].name if dataclasses.fields(stage) else "version"
    with pytest.raises(AttributeError):
        setattr(stage, field, 1)
    assert repr(stage).startswith(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trips_through_yaml(name):
    import yaml

    said = yaml.safe_load(yaml.safe_dump({name: spec.fields(EXAMPLES[name])}))
    assert spec.stage_from_spec(said) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_documented_with_its_fields(name):
    stage = type(EXAMPLES[name])
    assert stage.__doc__
    assert not stage.__doc__.startswith(f"{name}(")  # the signature that dataclass writes where there is none


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_unknown_field_is_named(name):
    with pytest.raises(ValueError, match=f"{name} has no field wrong_field"):
        spec.stage_from_spec({name: {"wrong_field": 1}})


@pytest.mark.parametrize("name", ON_BATCHES)
def test_needs_no_other_columns_than_it_reads(name):
    stage = ON_BATCHES[name]
    assert len(apply(stage, batch(dict(stage.reads)))) == len(batch(dict(stage.reads)))


@pytest.mark.parametrize("name", ON_BATCHES)
def test_gives_the_columns_it_declares_with_their_types(name):
    stage = ON_BATCHES[name]
    result = apply(stage, batch(dict(stage.reads)))
    declared = {
        Mapper: lambda: dict(stage.writes),
        Filter: lambda: {**stage.writes, **getattr(stage, "signals", {})},
        CorpusStage: lambda: dict(stage.sketches),
    }[next(kind for kind in (Mapper, Filter, CorpusStage) if isinstance(stage, kind))]()
    table = plain(result)
    assert set(declared) <= set(table.column_names)
    table.select(list(declared)).cast(arrow_schema(declared))


@pytest.mark.parametrize("name", ON_BATCHES)
def test_keeps_rows_and_index(name):
    frame = batch(dict(ON_BATCHES[name].reads))
    assert list(apply(ON_BATCHES[name], frame).index) == list(frame.index)


@pytest.mark.parametrize("cut", [0, 1, 17, 38, 39])
@pytest.mark.parametrize("name", ON_BATCHES)
def test_cutting_a_batch_changes_nothing(name, cut):
    stage = ON_BATCHES[name]
    frame = batch(dict(stage.reads))
    whole = plain(apply(stage, frame))
    halves = [plain(apply(stage, half)).cast(whole.schema) for half in (frame.iloc[:cut], frame.iloc[cut:])]
    assert pa.concat_tables(halves).combine_chunks().equals(whole.combine_chunks())


@pytest.mark.parametrize("name", ON_BATCHES)
def test_an_empty_batch_is_fine(name):
    frame = batch(dict(ON_BATCHES[name].reads)).iloc[:0]
    assert len(apply(ON_BATCHES[name], frame)) == 0


@pytest.mark.parametrize("name", ON_BATCHES)
def test_gives_the_same_bits_on_a_strict_device_frame(name, monkeypatch):
    strict_cudf.install(monkeypatch.setitem)
    stage = ON_BATCHES[name]
    frame = batch(dict(stage.reads))
    there = apply(stage, strict_cudf.DataFrame(frame))
    assert frames.is_gpu(there)
    here = plain(apply(stage, frame))
    assert plain(there).cast(here.schema).equals(here)
    if isinstance(stage, Filter):
        own, other = stage.reject(apply(stage, frame)), stage.reject(there)
        for reason, mask in own.items():
            assert frames.is_gpu(other[reason])
            assert other[reason].fillna(False).to_pandas().tolist() == mask.fillna(False).tolist(), reason


@pytest.mark.parametrize("name", ON_BATCHES)
def test_does_not_change_its_input(name):
    frame = batch(dict(ON_BATCHES[name].reads))
    before = plain(frame)
    apply(ON_BATCHES[name], frame)
    assert plain(frame).equals(before)


def test_a_filter_rejects_each_document_for_one_reason_at_most():
    from curator.run.batches import first_reasons

    for stage in ON_BATCHES.values():
        if isinstance(stage, Filter):
            frame = batch(dict(stage.reads))
            masks = first_reasons(stage.reject(stage.measure(frame)))
            assert sum(mask.astype(int) for mask in masks.values()).max() <= 1, stage


@pytest.mark.parametrize("name", [name for name, stage in ON_BATCHES.items() if isinstance(stage, Filter)])
def test_what_is_kept_of_a_document_is_enough_to_decide_again(name):
    """`reject` gives on what lies under signals/ what it gave in the run; a rule says what it does; each field that
    reject alone looks at is one."""
    stage = ON_BATCHES[name]
    measured = apply(stage, batch(dict(stage.reads)))
    kept = frames.from_arrow(plain(measured).select(list(stage.stored())).cast(arrow_schema(stage.stored())))
    again = stage.reject(kept)
    for reason, mask in stage.reject(measured).items():
        assert again[reason].fillna(False).tolist() == mask.fillna(False).tolist(), reason
    for rule in stage.rules:
        limit = getattr(stage, rule.limit)
        if limit is not None:
            values = kept[rule.signal].tolist()
            beyond = [not pd.isna(v) and (v < limit if rule.below else v > limit) for v in values]
            assert again[rule.reason].fillna(False).tolist() == beyond, rule
    assert {*stage.decides} <= {field.name for field in dataclasses.fields(stage)}


def test_every_rule_names_a_signal_and_a_field():
    for stage in EXAMPLES.values():
        for rule in getattr(stage, "rules", ()):
            assert rule.signal in {**stage.signals, **stage.writes}, (stage, rule)
            assert isinstance(getattr(stage, rule.limit), int | float | None)


def test_pipelines_round_trip_through_yaml():
    import yaml

    pipeline = Pipeline(
        [EXAMPLES["ReadJsonl"], *(s for s in ON_BATCHES.values() if s.reads.keys() <= {"text", "doc_id"})]
    )
    assert spec.from_spec(yaml.safe_load(spec.dump(pipeline))) == pipeline
