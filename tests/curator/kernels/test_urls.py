"""Canonical URLs: the examples of RFC 3986, section 6, what else is one page, and what must stay two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import urls
from curator.kernels.urls import canonical


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("example://a/b/c/%7Bfoo%7D", "example://a/b/c/%7Bfoo%7D"),  # no http: as it is
        ("http://a/b/c/./../../g", "http://a/g"),  # RFC 3986, 5.2.4
        ("HTTP://www.EXAMPLE.com/", "http://example.com/"),  # 6.2.2.1
        ("http://example.com/%7esmith/home.html", "http://example.com/~smith/home.html"),  # 6.2.2.2
        ("http://example.com/a%c2%b1b", "http://example.com/a%C2%B1b"),
        ("http://example.com", "http://example.com/"),  # 6.2.3
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com:80/", "http://example.com/"),
        ("https://example.com:443/", "http://example.com/"),
        ("https://example.com:80/", "http://example.com/"),  # or its canonical form would have another one
        ("http://example.com:443/", "http://example.com/"),
        ("https://www.example.com/a/", "http://example.com/a"),
        ("http://é..", "http://xn--9ca/"),
        ("http://www.com/", "http://www.com/"),
        ("http://www.www.example.com./a", "http://example.com/a"),
        ("http://user:Pass@Example.com/", "http://user:Pass@example.com/"),
        ("http://bücher.example/ä?ü=ö", "http://xn--bcher-kva.example/%C3%A4?%C3%BC=%C3%B6"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
        ("http://e.org/a?b=2&a=1&utm_source=x&b=1&&gclid=3&FBCLID=4", "http://e.org/a?a=1&b=1&b=2"),
        ("http://e.org/a?utm_medium=mail#top", "http://e.org/a"),
        ("http://e.org/a;jsessionid=0F?PHPSESSID=1", "http://e.org/a"),
        ("http://e.org/#!/page", "http://e.org/#!/page"),
        ("http://e.org/100%/%2", "http://e.org/100%25/%252"),
        ("http://e.org/a b\"<>", "http://e.org/a%20b%22%3C%3E"),
        ("http://e.org/%2e%2e/a/%2E/b", "http://e.org/a/b"),
        ("  http://e.org/a\n\tb \x00", "http://e.org/ab"),
        ("", ""),
        ("no url", "no url"),
        ("http://", "http://"),
        ("http://[broken/", "http://[broken/"),
        ("http://e.org:port/", "http://e.org:port/"),
        ("urn:uuid:1", "urn:uuid:1"),
    ],
)  # fmt: skip
def test_known_cases(url, wanted):
    assert canonical(url) == wanted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://e.org/A", "http://e.org/a"),
        ("http://e.org/?a", "http://e.org/?a="),
        ("http://e.org/?a=1%262", "http://e.org/?a=1&2"),
        ("http://e.org/a%2Fb", "http://e.org/a/b"),
        ("http://e.org/?source=1", "http://e.org/?source=2"),
        ("http://e.org/?cid=1", "http://e.org/?cid=2"),
        ("http://e.org/#!a", "http://e.org/#!b"),
        ("http://e.org:8080/", "http://e.org/"),
        ("http://a.e.org/", "http://e.org/"),
    ],
)
def test_what_may_be_two_pages_stays_two(one, other):
    assert canonical(one) != canonical(other)


PIECES = [" ", "\t", *"http:// HTTPS:// www. e.org B.com . .. / // a % %41 %2f %c3%a9 é ? & = utm_x=1 # !".split()]
PIECES += ":80 :443 @ [ ] ;jsessionid=1 ~ _ - + 。".split()


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text())
def test_canonical_is_canonical_and_the_short_way_agrees_with_the_long_one(url):
    from unittest.mock import patch

    once = canonical(url)
    assert canonical(once) == once
    with patch.object(urls, "PLAIN", urls.re.compile(r"(?!)")):
        assert canonical(url) == once
