"""The labelled set of the benchmark: labels stand where the values are, and scores count what they say."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from benchmarks import pii_labelled, pii_values
from benchmarks.pii_quality import score

NOWHERE = Path("no such folder")


def test_labels_stand_at_whole_values_and_the_seed_decides():
    made = list(pii_labelled.documents(60, NOWHERE, seed=5))
    assert made == list(pii_labelled.documents(60, NOWHERE, seed=5))
    assert made != list(pii_labelled.documents(60, NOWHERE, seed=6))
    assert {kind for document in made for _, _, kind in document.planted} == set(pii_values.MAKERS)
    for document in made:
        data = document.text.encode()
        for start, stop, kind in document.planted:
            value = data[start:stop].decode()
            assert value.strip() == value != ""
            if kind == "email":
                assert "@" in value
            if kind == "ip":
                assert ipaddress.ip_address(value).is_global


def test_carriers_hold_nothing_that_is_looked_for(tmp_path):
    import gzip

    (tmp_path / "text_en").mkdir()
    texts = ["A sentence long enough to be a carrier here. Call 020 7946 0958 or write to jane@acme.io, if you like."]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "text_en/c4_demo.jsonl").write_text(lines)
    (tmp_path / "text_en/brown.jsonl.gz").write_bytes(gzip.compress(b""))
    assert pii_labelled.sentences(tmp_path) == ["A sentence long enough to be a carrier here."]


def test_recall_asks_for_the_whole_value_and_precision_for_its_kind():
    document = pii_labelled.Document("x" * 50, planted=[(0, 10, "email"), (20, 30, "email"), (40, 50, "phone")])
    found = [[(0, 12, "email"), (20, 29, "email"), (40, 50, "email")]]
    assert score([document], found, "email") == (2, 1, 3, 2)
    assert score([document], found, "phone") == (1, 0, 0, 0)
