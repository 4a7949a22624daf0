"""Why a document was kept or dropped, also where its witness fell later."""

from __future__ import annotations

import pytest

import curator
from curator import Pipeline
from curator.errors import RunError
from curator.run.folder import RunFolder
from curator.why import by_doc_id, say, why
from tests.corpus import write_jsonl

LONG = " ".join(f"word{i}" for i in range(60))
RECORDS = [
    {"id": "longest", "url": "http://x/longest", "text": LONG + " more words at the end"},
    {"id": "long", "url": "http://x/long", "text": LONG + " more words"},
    {"id": "copy", "url": "http://x/longest", "text": LONG + " more words at the end"},
    {"id": "3", "url": "", "text": "good and short, but words enough for it"},
    {"id": "tiny", "url": "http://x/tiny", "text": "too short"},
    {"id": 7, "url": "http://x/none"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    """A run in which the keeper of duplicates falls to a filter after deduplication."""
    place = tmp_path_factory.mktemp("why")
    path = write_jsonl(place / "in.jsonl", RECORDS)
    quality = curator.GopherQuality(min_words=3, max_words=62, min_alpha_words=0.0, min_stop_words=0)
    stages = [curator.ReadJsonl(str(path)), curator.ExactDedup(), curator.FuzzyDedup(), quality]
    Pipeline(stages).run(str(place / "run"), workers=0)
    return RunFolder(str(place / "run"))


def test_a_kept_document(folder):
    (fate,) = why(folder, "3")
    assert (fate.document["id"], fate.row, fate.chain) == ("3", None, [])


def test_a_chain_of_witnesses_is_followed_to_its_end(folder):
    (fate,) = why(folder, "long")
    assert say(fate).splitlines() == [
        "1 long http://x/long",
        "  dropped by FuzzyDedup (stage 2): near_duplicate, similarity 0.9508, threshold 0.8",
        "  witness 0 longest http://x/longest",
        "    dropped by GopherQuality (stage 3): many_words, value 65, threshold 62",
        f"  witness   (50 more words) {' '.join(f'word{i}' for i in range(50, 60))} more words [[at the end]]",
        f"  document  (50 more words) {' '.join(f'word{i}' for i in range(50, 60))} more words",
    ]


def test_an_exact_copy_is_said_to_be_one(folder):
    assert say(why(folder, "copy")[0]).splitlines()[-1] == "  word for word the same"


def test_a_url_names_all_its_documents(folder):
    fates = why(folder, "http://x/longest")
    assert {fate.document["id"]: fate.row["stage"] for fate in fates} == {
        "copy": "ExactDedup",
        "longest": "GopherQuality",
    }
    assert [step.document["id"] for fate in fates for step in fate.chain] == ["longest"]


def test_a_doc_id_goes_before_an_id_of_digits(folder):
    assert [fate.document["id"] for fate in why(folder, "1")] == ["long"]
    assert [fate.document["doc_id"] for fate in why(folder, "7")] == [5]  # no such doc_id; an id


def test_a_document_that_could_not_be_read_has_a_fate(folder):
    (fate,) = why(folder, "7")
    assert "dropped by ReadJsonl (stage 0): missing_text, no field text; fields: id, url" in say(fate)


@pytest.mark.parametrize("wanted", ["nobody", "", "99", str(1 << 40), str(1 << 80), "²", "-1", "http://x/"])
def test_a_document_that_is_not_there_is_named(folder, wanted):
    with pytest.raises(RunError, match="has no document with doc_id, id or URL"):
        why(folder, wanted)


def test_every_document_has_one_fate(folder):
    fates = [by_doc_id(folder, number) for number in range(len(RECORDS))]
    assert [str(fate.document["id"]) for fate in fates if fate] == [str(record["id"]) for record in RECORDS]
    assert by_doc_id(folder, len(RECORDS)) is None


def test_an_unfinished_run_says_so(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        why(RunFolder(str(tmp_path)), "x")
    (tmp_path / "inputs.json").write_text("{}")
    with pytest.raises(RunError, match="holds an unfinished run"):
        why(RunFolder(str(tmp_path)), "x")
