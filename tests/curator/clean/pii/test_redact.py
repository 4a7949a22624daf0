"""Redaction: what is found and what is not, byte for byte; and what holds for any text."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.clean.pii import entities, phones, secrets
from curator.clean.pii.entities import DISGUISED_EMAIL, ENTITIES
from curator.clean.pii.find import ROUNDS, found, spans_of
from curator.clean.pii.redact import KINDS, RedactPii
from curator.errors import ModelError, SpecError

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nq3+x/Q==\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
FOUND = {
    "email": [
        "jane@acme.io", "j.doe+news@mail.acme.co.uk", "jörg@müller.de", "иван@почта.рф", "o'brien@acme.ie", "_x@qq.com",
        "a@b.museum", "x1@163.com",
    ],
    "phone": [
        "+44 20 7946 0958", "+44 (0)20 7946 0958", "+442079460958", "(212) 555-2368", "212-555-2368", "212.555.2368",
        "+1 (212) 555-2368", "1-800-555-2368", "212-555-2368 ext. 12", "01 23 45 67 89", "06.12.34.56.78",
        "+49 30 901820",
        "0171/123 45 67", "(11) 91234-5678", "8 (495) 123-45-67", "090-1234-5678", "+86 138 1234 5678",
        "00 44 20 7946 0958",
        "+91 98765 43210", "+1.2125552368", "(+44) 20 7946 0958", "+31\u00a020\u00a0123\u00a04567",
    ],
    "ip": ["93.184.216.34", "151.101.1.69", "2606:2800:220:1:248:1893:25c8:1946", "2a00:1450:4001:81b::200e"],
    "credit_card": ["4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "3782 822463 10005"],
    "iban": ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR14 2004 1010 0505 0001 3M02 606"],
    "us_ssn": ["536-90-4399"],
    "secret": [
        "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "xoxb-" + "123456789012-abcdefGHIJ", "AIza" + "Sy0-_" * 7, JWT,
        KEY,
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "SG." + "a" * 22 + "." + "b" * 43,
    ],
}  # fmt: skip
NOT_FOUND = [
    "icon@2x.png", "git@github.com:me/repo.git", "me@example.com", "you@host.test", "lodash@4.17.21", "a@b", "@home",
    "ISBN 978-3-16-148410-0", "2024-01-02 12:30:45", "01.02.2020 12", "01/02/2020", "3.14159265358979", "1,234,567,890",
    "version 93.184.216.34", "Chrome/91.0.101.124", "1.2.3.4", "30.4.1.2", "192.168.1.1", "10.0.0.1", "127.0.0.1",
    "203.0.113.9", "300.1.1.1", "93.184.216.34.5", "2001:db8::1", "12:34:56", "00:1a:2b:3c:4d:5e",
    "4111111111111112", "1234 5678 9012 3456", "0.4111111111111111", "DE89370400440532013001", "666-12-1234",
    "123-45-67890",
    "536904399", "d41d8cd98f00b204e9800998ecf8427e", "550e8400-e29b-41d4-a716-446655440000", "arXiv:2004.14974",
    "$1,299.00", "40.712776, -74.005974", "+40.712776", "1602345678901", "555-0123", "(212) 555-0123",
    "+1 212 555 0123",
    'api_key = "your_api_key_here_1"', "password: hunter2", "token = get_token(user1)", "x = 12 + 34567890 * 2",
    "00 01 02 04 10 11 12 14", "-----BEGIN PUBLIC KEY-----", "eyJhbGciOiJIUzI1NiJ9", "10 20 30 40 50 60 70",
    "20000 + 5000 - 10000", "call at 2018-08-10 decided", "2.20.1.155.g426c96",
    "212 345 6789 3456", "12 212 345 6789",
]  # fmt: skip


DEFAULT = RedactPii()


def frame(texts: list[str | None]) -> Any:
    return frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))


def measured(texts: list[str | None], stage: RedactPii = DEFAULT) -> list[dict[str, Any]]:
    return frames.to_arrow(stage.measure(frame(texts))).to_pylist()


def redacted(text: str, stage: RedactPii = DEFAULT) -> str:
    return measured([text], stage)[0]["text"]


def test_every_kind_has_cases():
    assert set(FOUND) == set(KINDS) == {entity.kind for entity in ENTITIES}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in FOUND.items() for value in values])
@pytest.mark.parametrize("around", ["{}", "é says: {}.", "({})", "a, {}; b", "“{}”", "x\n{}\r\ny", "是{}。"])
def test_is_found_whole_and_nothing_else_changes(kind, value, around):
    text = around.format(value)
    (row,) = measured([text])
    start = len(text[: text.index(value)].encode())
    assert row["text"] == around.format(f"<{kind.upper()}>")
    assert row["pii_cut_kinds"] == [kind]
    assert (row["pii_cut_starts"], row["pii_cut_stops"]) == ([start], [start + len(value.encode())])
    assert row["pii_entities"] == 1


@pytest.mark.parametrize("value", NOT_FOUND)
@pytest.mark.parametrize("around", ["{}", "see {} there", "({})", "a\n{}\nb"])
def test_is_left_alone(value, around):
    assert redacted(around.format(value)) == around.format(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("SSN: 536904399", "SSN: <US_SSN>"),
        ("social security number is 536 90 4399", "social security number is <US_SSN>"),
        ("Tel. 7946 0958", "Tel. <PHONE>"),
        ("call me at 2125552368 now", "call me at <PHONE> now"),
        ("电话:13812345678", "电话:<PHONE>"),
        ("iPhone 7946 0958", "iPhone 7946 0958"),
        ('{"api_key": "a8Fk2LmN0pQr7sTuVwX3"}', '{"api_key": "<SECRET>"}'),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYzz3vZq12ab", "AWS_SECRET_ACCESS_KEY=<SECRET>"),
        ("password => 's3cR3t!pa55w0rD'", "password => '<SECRET>'"),
        ("postgres://app:s3cret-pw@db.acme.io/x", "postgres://app:<SECRET>@db.acme.io/x"),
        ("49.6.4.10. Streams", "49.6.4.10. Streams"),
        ("see 212 555 2368 there", "see <PHONE> there"),
        ("212-555-2368,212-555-2369", "<PHONE>,<PHONE>"),
        ("Jane<jane@acme.io>", "Jane<<EMAIL>>"),
    ],
)
def test_what_stands_before_decides(text, wanted):
    assert redacted(text) == wanted


def test_of_overlapping_ones_the_leftmost_and_longest_is_taken():
    card, address = "4111 1111 1111 1111", "u4111111111111111@acme.io"
    assert redacted(f"call {card}") == "call <CREDIT_CARD>"  # also a telephone number, but shorter
    assert redacted(address) == "<EMAIL>"
    line = b"DE89 3704 0044 0532 0130 00"
    assert [n for _, _, n in spans_of(line, enumerate(ENTITIES))] == [KINDS.index("iban")]


def test_entities_chosen_are_the_only_ones():
    text = "jane@acme.io 93.184.216.34"
    assert redacted(text, RedactPii(entities=("ip",))) == "jane@acme.io <IP>"


def test_templates_and_reserved_values():
    text = "mail jane@acme.io or 93.184.216.34"
    assert redacted(text, RedactPii(placeholder="[{kind} removed]")) == "mail [EMAIL removed] or [IP removed]"
    assert redacted(text, RedactPii(placeholder="")) == "mail  or "
    assert redacted(text, RedactPii(replacement="reserved")) == "mail email@example.com or 192.0.2.1"


def test_disguised_addresses_are_an_option():
    text = "write to jane [at] acme dot io, joe(at)acme.io or bob {at} mail [dot] acme [dot] co"
    assert redacted(text) == text
    assert redacted(text, RedactPii(disguised=True)) == "write to <EMAIL>, <EMAIL> or <EMAIL>"


def test_tag_and_drop_leave_the_text():
    texts = ["jane@acme.io", "jane@acme.io joe@acme.io", "none", "", None]
    for stage in (RedactPii(action="tag"), RedactPii(action="drop", max_entities=1)):
        rows = measured(texts, stage)
        assert [row["text"] for row in rows] == texts
        assert [row["pii_entities"] for row in rows] == [1, 2, 0, 0, 0]
        assert rows[1]["pii_cut_starts"] == [0, 13]
    assert RedactPii(action="tag").reject(RedactPii(action="tag").measure(frame(texts))) == {}
    stage = RedactPii(action="drop", max_entities=1)
    (mask,) = stage.reject(stage.measure(frame(texts))).values()
    assert mask.tolist() == [False, True, False, False, False]


def test_a_text_of_which_too_much_goes_is_rejected():
    stage = RedactPii(max_cut=0.5)
    masks = stage.reject(stage.measure(frame(["jane@acme.io", "a long text that has jane@acme.io in it", None])))
    assert masks["mostly_cut"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"entities": ("emial",)}, "no entity emial. Did you mean email\\?"),
        ({"entities": ()}, "nothing to find"),
        ({"max_entities": 3}, "max_entities is of action 'drop'"),
        ({"action": "drop", "max_entities": -1}, "must be at least 0"),
        ({"max_cut": 1.5}, "must be from 0 to 1"),
        ({"placeholder": "<{name}>"}, "may hold {kind}"),
        ({"placeholder": "<{kind"}, "placeholder is '<{kind'"),
    ],
)
def test_wrong_settings_are_one_clear_line(fields, message):
    with pytest.raises(SpecError, match=message):
        RedactPii(**fields)


PIECES = [value for values in FOUND.values() for value in values] + NOT_FOUND
PIECES += [*" \n.,:;-_/()[]<>@+'\"=", "tel ", "SSN ", "key=", "0", "12", "a", "é", "中", "\u00a0", "\x00", "\r\n"]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=12).map("".join))
def test_redacting_twice_is_redacting_once(text):
    once = redacted(text)
    (row,) = measured([once])
    assert (row["text"], row["pii_entities"]) == (once, 0)


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), max_size=4))
def test_quick_signs_lose_nothing(texts):
    every = (*ENTITIES, DISGUISED_EMAIL)
    spans = found(pa.array(texts, pa.large_string()), every)
    for row, text in enumerate(texts):
        if "PRIVATE KEY" in text:
            continue  # the one entity that goes over lines
        wanted, at = [], 0
        for line in text.encode().split(b"\n"):
            wanted += [(row, at + start, at + stop, n) for start, stop, n in spans_of(line, enumerate(every))]
            at += len(line) + 1
        assert [span for span in spans if span[0] == row] == wanted


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=12).map("".join))
def test_what_is_outside_the_spans_stays_byte_for_byte(text):
    (row,) = measured([text])
    data, pieces, at = text.encode(), [], 0
    for start, stop, kind in zip(row["pii_cut_starts"], row["pii_cut_stops"], row["pii_cut_kinds"]):
        assert at <= start < stop
        pieces += [data[at:start], f"<{kind.upper()}>".encode()]
        at = stop
    assert row["text"].encode() == b"".join([*pieces, data[at:]])
    for start, stop in zip(row["pii_cut_starts"], row["pii_cut_stops"]):
        data[start:stop].decode()  # spans cut no character


HOSTILE = {
    "digits": "1", "at": "a@", "addresses": "a@a.", "dashes": "1-", "groups": "1 ", "pluses": "+1", "brackets": "(1)",
    "keys": "key=", "begins": "-----BEGIN PRIVATE KEY-----", "jwt": "eyJ", "colons": "2001:", "dots": "1.",
    "names": "a'",
    "zeros": "0 1", "capitals": "GB29", "disguised": "a [at] ", "tel": "tel ", "symbols": "#$%&", "nul": "\x00",
}  # fmt: skip


SEARCHED_IN_SPANS = {"RESERVED", "PLAIN", "HEX", "NOT_DIGITS", "DOT", "GROUP"}  # never in a whole line


@pytest.mark.parametrize("module", [entities, phones, secrets], ids=lambda module: module.__name__)
def test_no_search_looks_further_than_a_fixed_number_of_bytes(module):
    """So that the steps a line takes grow with its length: each begin has so many ways to go on, and no more."""
    patterns = {name: value for name, value in vars(module).items() if isinstance(value, re.Pattern)}
    assert patterns
    for name in patterns.keys() - SEARCHED_IN_SPANS:
        _, longest = re._parser.parse(patterns[name].pattern, patterns[name].flags).getwidth()  # type: ignore[attr-defined]
        assert longest <= 15_000, name  # a web token and its signature are the longest


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
def test_one_long_line_of_anything(piece):
    text = piece * (100_000 // len(piece))
    (row,) = measured([text], RedactPii(disguised=True))
    (again,) = measured([row["text"]], RedactPii(disguised=True))
    assert again["text"] == row["text"]


@pytest.mark.parametrize(
    "text", [*(piece * 30 for piece in HOSTILE.values()), "212-555-2368-" * 50, "8.8.4.4-a@b.co" * 50]
)
def test_a_line_is_searched_a_fixed_number_of_times(text, monkeypatch):
    times: Counter[str] = Counter()

    def counted(entity):
        def find(line):
            times[entity.kind] += 1
            return entity.find(line)

        return replace(entity, find=find)

    spans_of(text.encode(), enumerate(map(counted, ENTITIES)))
    assert set(times.values()) <= set(range(1, ROUNDS + 1))


def test_presidio_that_is_not_there_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'millrace\[pii\]'"):
        RedactPii(presidio=True).check("run")


def test_a_model_of_names_is_known_by_its_files_or_its_version(tmp_path):
    (tmp_path / "ner").mkdir()
    for name in ("meta.json", "ner/model"):
        (tmp_path / name).write_text(name)
    stage = RedactPii(presidio=True, model=str(tmp_path))
    assert stage.named_files() == {"model": (str(tmp_path / "meta.json"), str(tmp_path / "ner/model"))}
    assert stage.libraries == ("presidio-analyzer", "spacy")
    package = RedactPii(presidio=True, model="numpy")  # any distribution that is installed
    assert (package.named_files(), package.libraries[-1]) == ({}, "numpy")
    assert (RedactPii(model="numpy").named_files(), RedactPii(model="numpy").libraries) == ({}, ())


@pytest.fixture
def named_places(tmp_path):
    """A spaCy model that knows one person and one place, by rule: no download."""
    pytest.importorskip("presidio_analyzer", reason="the extra millrace[pii] is not installed")
    import spacy

    nlp = spacy.blank("en")
    known = [{"label": "PERSON", "pattern": "Ada Lovelace"}, {"label": "GPE", "pattern": "London"}]
    nlp.add_pipe("entity_ruler").add_patterns(known)
    nlp.to_disk(tmp_path / "model")
    return str(tmp_path / "model")


def test_presidio_adds_names_around_what_is_found_by_form(named_places):
    stage = RedactPii(presidio=True, model=named_places)
    stage.check("run")
    row, missing = measured(["é Ada Lovelace of London, ada@acme.io", None], stage)
    assert row["text"] == "é <PERSON> of <LOCATION>, <EMAIL>"
    assert list(zip(row["pii_cut_starts"], row["pii_cut_stops"])) == [(3, 15), (19, 25), (27, 38)]
    assert (missing["text"], missing["pii_entities"]) == (None, 0)


def test_a_model_that_is_not_there_is_not_downloaded(named_places):
    with pytest.raises(ModelError, match="en_core_web_nowhere is no spaCy model"):
        RedactPii(presidio=True, model="en_core_web_nowhere").check("run")
