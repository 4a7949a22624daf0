"""URL filtering: lists in their formats, words, evidence, and lists that are wrong."""

from __future__ import annotations

import functools
import gzip
import random

import pyarrow as pa
import pytest

import curator
from curator import Pipeline, UrlFilter, frames
from curator.errors import InputError, SpecError
from curator.fingerprint import of_stage
from curator.run.folder import RunFolder
from curator.why import why
from tests.corpus import write_parts


def frame(urls: list[str | None]):
    return frames.from_arrow(pa.table({"url": pa.array(urls, pa.large_string())}))


def listed(folder, name: str, text: str) -> str:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def rules(stage: UrlFilter, *urls: str | None) -> list[str | None]:
    return frames.to_arrow(stage.measure(frame(list(urls))))["url_rule"].to_pylist()


def reasons(stage: UrlFilter, *urls: str | None) -> list[str | None]:
    masks = {r: m.fillna(False).tolist() for r, m in stage.reject(stage.measure(frame(list(urls)))).items()}
    return [next((reason for reason, mask in masks.items() if mask[row]), None) for row in range(len(urls))]


@pytest.mark.parametrize("name", ["domains", "domains.gz"])
def test_domains_and_those_below_them(tmp_path, name):
    text = "# made\nexample.com\n\nBad.Example.ORG  # why\r\nbücher.example\n"
    stage, idn = UrlFilter(domains=listed(tmp_path, name, text)), f"{name}:5: xn--bcher-kva.example"
    assert rules(
        stage, "http://example.com", "https://www.EXAMPLE.com:8080/x?y#z", "http://notexample.com/", "http://example.org/",
        "http://a.bad.example.org/", "http://xn--bcher-kva.example/", "http://shop.bücher.example/a", "", None,
    ) == [
        f"{name}:2: example.com", f"{name}:2: example.com", None, None,
        f"{name}:4: bad.example.org", idn, idn, None, None,
    ]  # fmt: skip


def test_hosts_files(tmp_path):
    text = (
        "127.0.0.1 localhost\n::1 localhost\n0.0.0.0 0.0.0.0\n0.0.0.0 ads.example.com # x\n127.0.0.1\tb.example other\n"
    )
    stage = UrlFilter(domains=listed(tmp_path, "hosts", text))
    assert rules(stage, "http://ads.example.com/", "http://b.example/", "http://localhost/", "http://example.com/") == [
        "hosts:4: ads.example.com", "hosts:5: b.example", None, None,
    ]  # fmt: skip


def test_urls_and_what_lies_below_them(tmp_path):
    stage = UrlFilter(urls=listed(tmp_path, "urls", "http://example.com/~Bad/\nexample.org:80/a?x=1\nexample.net/\n"))
    assert rules(
        stage, "https://www.example.com/~bad", "http://example.com/~bad/more?z", "http://example.com/~badder",
        "http://example.org/a?x=1&y=2", "http://example.org/a", "http://example.net/anything",
    ) == [
        "urls:1: example.com/~bad", "urls:1: example.com/~bad", None, "urls:2: example.org/a?x=1", None,
        "urls:3: example.net",
    ]  # fmt: skip


ADBLOCK = """[Adblock Plus 2.0]
! Title: made
||ads.example.com^
||example.org/banner/*/img^
|https://start.example/
/adframe/*$~script
.swf|
||third.example^$third-party
||popup.example^$popup
example.com##.ad
||script.example^$script,image
@@||good.ads.example.com^
@@/adframe/fine/*
||on.example^$domain=a.com
/ad[0-9]+/
"""


def test_adblock_rules(tmp_path):
    stage = UrlFilter(adblock=listed(tmp_path, "easy.txt", ADBLOCK))
    expected = {
        "http://ads.example.com/x": "easy.txt:3: ads.example.com",
        "http://sub.ads.example.com/": "easy.txt:3: ads.example.com",
        "http://good.ads.example.com/": None,
        "http://badads.example.com/": None,
        "http://www.example.org/banner/foo/img": "easy.txt:4: ||example.org/banner/*/img^",
        "http://www.example.org/banner/foo/img?x": "easy.txt:4: ||example.org/banner/*/img^",
        "http://www.example.org/banner/foo/imgraph": None,
        "https://start.example/a": "easy.txt:5: |https://start.example/",
        "http://start.example/a": None,
        "http://x.example/AdFrame/1": "easy.txt:6: /adframe/*$~script",
        "http://x.example/adframe/fine/1": None,
        "http://x.example/a.swf": "easy.txt:7: .swf|",
        "http://x.example/a.swf?y": None,
        "http://third.example/": None,
        "http://popup.example/": "easy.txt:9: popup.example",
        "http://script.example/": None,
        "http://on.example/": None,
        "http://x.example/ad12/": None,
    }
    assert dict(zip(expected, rules(stage, *expected))) == expected
    assert stage.refused == {
        "option third-party": 1, "element hiding": 1, "other content": 1, "option domain": 1, "regular expression": 1,
    }  # fmt: skip


def test_exceptions_hold_against_adblock_lists_alone(tmp_path):
    easy = listed(tmp_path, "easy.txt", "||bad.example^\n@@||bad.example^\n")
    assert rules(UrlFilter(adblock=easy), "http://bad.example/") == [None]
    domains = listed(tmp_path, "domains", "bad.example\n")
    assert rules(UrlFilter(adblock=easy, domains=domains), "http://bad.example/") == ["domains:1: bad.example"]


def test_substrings_and_expressions(tmp_path):
    parts, expressions = listed(tmp_path, "parts", "# made\n/Casino-\n.+\n"), "id=\\d{4}$\n^ftp:\n"
    stage = UrlFilter(substrings=parts, regexes=listed(tmp_path, "exprs", expressions))
    urls = ["a.b/CASINO-x", "a.b/x.+y", "a.b/xy", "a.b/?id=1234", "a.b/?id=12"]
    assert rules(stage, *(f"http://{url}" for url in urls[:4]), "ftp://a.b/", f"http://{urls[4]}") == [
        "parts:2: /casino-", "parts:3: .+", None, "exprs:1: id=\\d{4}$", "exprs:2: ^ftp:", None,
    ]  # fmt: skip


def test_words_score_as_in_refinedweb(tmp_path):
    stage = UrlFilter(
        strict_words=listed(tmp_path, "strict", "vwvw\n"),
        hard_words=listed(tmp_path, "hard", "gamble\n"),
        soft_words=listed(tmp_path, "soft", "free\nmovie\nlive\n"),
    )
    urls = [
        "http://a.b/x-VW-vw-x",
        "http://a.b/Gamble.html",
        "http://a.b/gambler",
        "http://free.b/free",
        "http://free.b/a_movie",
        None,
    ]
    assert reasons(stage, *urls) == ["strict_words", "hard_words", None, None, "soft_words", None]
    table = frames.to_arrow(stage.measure(frame(urls))).to_pydict()
    assert table["url_words"] == ["vwvw", "gamble", None, "free", "free, movie", None]
    assert table["url_soft_words"] == [0, 0, 0, 1, 2, 0]
    assert stage.signals.keys() == table.keys()


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("domains", "example.com\nnot a domain\n", r"list:2 is not a domain: 'not a domain'"),
        ("domains", "http://example.com/\n", r"list:1 is not a domain"),
        ("urls", "example.com/a\n\n<html>\n", r"list:3 is not a URL: '<html>'"),
        ("regexes", "ok\n(\n", r"list:2 is not a regular expression that RE2 takes"),
        ("hard_words", "ok\n日本\n", r"list:2 holds no letter a-z"),
    ],
)
def test_a_bad_list_is_one_line(tmp_path, kind, text, said):
    stage = UrlFilter(**{kind: listed(tmp_path, "list", text)})
    with pytest.raises(InputError, match=said) as caught:
        stage.check("run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["domains", "urls", "adblock", "substrings", "regexes", "strict_words", "soft_words"])
@pytest.mark.parametrize("text", ["", "\n \r\n", "{}comment\n"])
def test_lists_without_a_rule_are_refused_unless_another_of_the_setting_has_one(tmp_path, kind, text):
    empty = listed(tmp_path, "empty", text.format("!" if kind == "adblock" else "# "))
    with pytest.raises(InputError, match=f"UrlFilter.{kind}: .*empty holds no rule"):
        UrlFilter(**{kind: empty}).check("run")
    UrlFilter(**{kind: [empty, listed(tmp_path, "list", "ads.example\n")]}).check("run")


def test_adblock_lists_of_rules_that_cannot_apply_are_no_mistake(tmp_path):
    stage = UrlFilter(adblock=listed(tmp_path, "list", "/banner/*$image\n##.ad\n"))
    stage.check("run")
    assert stage.refused.total() == 2


def test_other_bad_lists(tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a list"):
        UrlFilter(domains=str(tmp_path / "list")).check("run")
    with pytest.raises(Exception, match="no file matches"):
        UrlFilter(domains=str(tmp_path / "absent")).check("run")
    with pytest.raises(SpecError, match="domains is 7; it must be a path"):
        UrlFilter(domains=7)


def test_the_name_of_a_list_is_in_the_fingerprint_and_its_folder_is_not(tmp_path):
    """The ledger says the name."""
    (tmp_path / "moved").mkdir()
    places = ((tmp_path, "a.txt"), (tmp_path, "b.txt"), (tmp_path / "moved", "a.txt"))
    prints = [of_stage(UrlFilter(domains=listed(folder, name, "b.com"))) for folder, name in places]
    assert prints[0] == prints[2] != prints[1]


def test_the_ledger_names_list_and_rule(tmp_path):
    records = [
        {"id": str(i), "text": "text", "url": url}
        for i, url in enumerate(["http://bad.example/a", "http://ok.example/gamble", "http://ok.example/"])
    ]
    stage = UrlFilter(
        domains=listed(tmp_path, "domains", "bad.example\n"), hard_words=listed(tmp_path, "hard", "gamble\n")
    )
    reader = curator.ReadJsonl(write_parts(tmp_path / "in", records, 1))
    Pipeline([reader, stage]).run(str(tmp_path / "run"), workers=0)
    rows = [why(RunFolder(str(tmp_path / "run")), str(i))[0].row for i in range(3)]
    assert [(r["reason"], r["value_text"], r["value"], r["threshold"]) for r in rows[:2]] == [
        ("blocked_url", "domains:1: bad.example", None, None), ("hard_words", "gamble", 1.0, 0.0),
    ]  # fmt: skip
    assert rows[2] is None


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:The 'registered_domain' property:DeprecationWarning")  # datatrove asks for it
def test_decides_as_datatrove_but_below_a_listed_subdomain(tmp_path, monkeypatch):
    """There a list names a registered domain or one host; here whatever it names goes with all below it."""
    tldextract = pytest.importorskip("tldextract")
    filters = pytest.importorskip("datatrove.pipeline.filters")
    data = pytest.importorskip("datatrove.data")
    without_network = functools.partial(tldextract.TLDExtract, suffix_list_urls=(), cache_dir=None)
    monkeypatch.setattr(tldextract, "TLDExtract", without_network)
    domains, strict, hard, soft = (
        ["example.com", "bad.net", "ads.foo.org", "evil.co.uk"], ["xvx", "qq7"], ["gamble", "poker"], ["free", "live"],
    )  # fmt: skip
    rng = random.Random(3)
    words = "xvx qq7 gamble poker free live story news freedom pokers index q 7 a".split()
    below = ["", "www.", "m.", "ads."]
    hosts = [*domains, "foo.org", "good.com", "notexample.com", "bad.net.au"]
    urls = [
        f"http://{rng.choice(below)}{rng.choice(hosts)}/"
        + "".join(rng.choice(words) + rng.choice("/-._") for _ in range(rng.randint(0, 4)))
        for _ in range(2000)
    ]
    lists = {"domains": domains, "strict_words": strict, "hard_words": hard, "soft_words": soft}
    stage = UrlFilter(**{name: listed(tmp_path, name, "\n".join(text)) for name, text in lists.items()})
    peer = filters.URLFilter(
        extra_domains=domains, banned_subwords=strict, banned_words=hard, soft_banned_words=soft,
        use_integrated_lists=False,
    )  # fmt: skip
    theirs = [peer.filter(data.Document(text="", id="", metadata={"url": url})) is not True for url in urls]
    ours = [reason is not None for reason in reasons(stage, *urls)]
    differ = {url for url, a, b in zip(urls, ours, theirs) if a != b}
    assert differ <= {url for url in urls if ".ads.foo.org/" in url}
    assert 0 < sum(theirs) < len(urls)


@pytest.mark.realdata
def test_easylist_is_read(shared):
    stage = UrlFilter(adblock=str(shared / "data/url/easylist.txt.gz"))
    index = stage.index()
    assert len(index.named.whole()) > 30_000
    assert len(index.patterned.whole()) > 2_000
    assert stage.refused["element hiding"] > 20_000
    found = rules(stage, "http://0265331.com/page", "http://en.wikipedia.org/wiki/Advertising")
    assert found[1] is None
