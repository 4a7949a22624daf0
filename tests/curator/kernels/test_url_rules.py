"""Rules against plain Python: names by suffix and prefix, patterns as regular expressions."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.arrow import flatten
from curator.kernels.url_matching import match
from curator.kernels.url_rules import BEGIN, FREE, LABEL, names, patterns

NO_PATTERNS = (np.zeros(0, np.uint8), np.zeros(0, bool), np.zeros(0, bool))


def strings(texts) -> tuple[np.ndarray, np.ndarray]:
    return flatten(pa.array(texts, pa.large_string()))


def parts(url: str) -> tuple[str, str, str]:
    """Scheme, host and the rest as the specification says."""
    scheme, there, rest = url.partition("://")
    scheme, rest = (scheme, rest) if there and not re.search("[/?#:]", scheme) else ("http", url)
    rest = rest.partition("#")[0].lower()
    cut = min((rest.find(c) for c in "/?" if c in rest), default=len(rest))
    place = rest[:cut].rpartition("@")[2]
    host = re.sub(r":[^:]*$", "", place).rstrip(".")
    tail = rest[cut:]
    return scheme.lower(), host, tail if tail.startswith("/") else "/" + tail


def name_matches(rule: str, url: str) -> bool:
    host, slash, path = rule.partition("/")
    _, mine, tail = parts(url)
    if mine != host and not mine.endswith("." + host):
        return False
    whole = slash + path
    return not slash or tail == whole or (tail.startswith(whole) and tail[len(whole)] in "/?&")


def pattern_matches(text: str, begins: int, closed: bool, url: str) -> bool:
    scheme, host, tail = parts(url)
    whole = f"{scheme}://{host}{tail}"
    said = "".join(
        ".*" if c == "*" else r"(?:[^a-z0-9_.%\-\x80-\U0010ffff]|\Z)" if c == "^" else re.escape(c) for c in text
    )
    expression = re.compile(said + (r"\Z" if closed else ""), re.DOTALL)
    start = len(scheme) + 3
    if begins == FREE:
        return any(expression.match(whole, i) for i in range(len(whole) + 1))
    if begins == BEGIN:
        return bool(expression.match(whole))
    places = [i for i in range(start, start + len(host)) if i == start or whole[i - 1] == "."]
    return any(expression.match(whole, i) for i in places)


LONG = "long-label-" * 7  # longer than a block of 64 bytes
LAST = f"https://www.{LONG}.example.com/{LONG}/ad_x#end"  # so that those before it are read by blocks
labels = st.sampled_from(["a", "b", "ab", "example", "x-y", "com", LONG, "c" * 8])
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
paths = st.lists(
    st.sampled_from(["/a", "/ab", "/example", "/" + LONG, "/ad_x", "?q=a", "&b=1", "/", "-ad-", "."]), max_size=4
).map("".join)
urls = st.builds(
    lambda scheme, user, host, port, path, fragment: f"{scheme}{user}{host}{port}{path}{fragment}",
    st.sampled_from(["http://", "https://", "HTTP://", ""]),
    st.sampled_from(["", "", "u:p@"]),
    st.one_of(hosts, hosts.map(str.upper)),
    st.sampled_from(["", "", ":80", "."]),
    paths.map(lambda p: p if p[:1] in ("/", "?", "") else "/" + p),
    st.sampled_from(["", "#a/b?c"]),
)
rules = st.builds(lambda host, path: host + path.rstrip("/"), hosts, paths.filter(lambda p: p[:1] in ("/", "")))


@given(st.lists(rules, max_size=6), st.lists(urls, max_size=6))
def test_names_match_as_plain_python_says(listed, given_urls):
    given_urls.append(LAST)
    found, _, _, odd = match(*strings(given_urls), names(*strings(listed)), patterns(*strings([]), *NO_PATTERNS))
    for row, url in enumerate(given_urls):
        holding = [n for n, rule in enumerate(listed) if name_matches(rule, url)]
        assert found[row] == min(holding, default=-1), (url, listed)
    assert not odd.any()


texts = st.lists(
    st.sampled_from(
        ["a", "ab", "example", ".com", "^", "*", "/", "ad_x", "-ad-", "?q=", "http", "://", ".", "long", "label-long-"]
    ),
    min_size=1, max_size=5,
).map("".join)  # fmt: skip


@given(
    st.lists(st.tuples(texts, st.sampled_from([FREE, BEGIN, LABEL]), st.booleans(), st.booleans()), max_size=6),
    st.lists(urls, max_size=6),
)
def test_patterns_match_as_plain_python_says(listed, given_urls):
    given_urls.append(LAST)
    begins, closed, spares = (np.array([r[i] for r in listed], t) for i, t in ((1, np.uint8), (2, bool), (3, bool)))
    table = patterns(*strings([rule[0] for rule in listed]), begins, closed, spares)
    _, found, spared, _ = match(*strings(given_urls), names(*strings([])), table)
    for row, url in enumerate(given_urls):
        holding = [n for n, (text, begin, end, _) in enumerate(listed) if pattern_matches(text, begin, end, url)]
        assert found[row] == min((n for n in holding if not listed[n][3]), default=-1), (url, listed)
        assert spared[row] == any(listed[n][3] for n in holding), (url, listed)


@pytest.mark.parametrize("url", ["http://exämple.com/", "http://a b.com/", "http://[::1]/", "http://a%2eb.com"])
def test_a_host_that_is_not_plain_is_odd(url):
    none = patterns(*strings([]), *NO_PATTERNS)
    assert match(*strings([url, "http://plain.com/ä"]), names(*strings([])), none)[3].tolist() == [True, False]


def test_hostile_urls_match_nothing():
    hostile = [
        "",
        " ",
        "://",
        "http://",
        "http:///",
        "\x00",
        "#",
        "?",
        ":",
        "@",
        "http://@:/",
        "a" * 10**6,
        "/" * 10**5,
    ]
    none = patterns(*strings([]), *NO_PATTERNS)
    found, _, _, _ = match(*strings(hostile), names(*strings(["example.com", "example.com/a"])), none)
    assert (found == -1).all()
