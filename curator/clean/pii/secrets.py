"""Keys and other secrets: by the marks their issuers put on them, or by a name such as `api_key =` before them."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Iterator

from curator.clean.pii.checks import entropy

WORD = rb"[0-9A-Za-z_]"
TOKEN = rb"[0-9A-Za-z_\-]"
# Issuers' own documentation gives prefix, alphabet and length; upper bounds are ours where they give none.
MARKED = re.compile(
    rb"(?<!%b)(?:" % WORD
    + b"|".join(
        [
            rb"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",  # AWS access key ids
            rb"gh[pousr]_[0-9A-Za-z]{36,255}",  # GitHub tokens
            rb"github_pat_[0-9A-Za-z_]{22,255}",
            rb"glpat-%b{20,64}" % TOKEN,  # GitLab
            rb"xox[abeoprs]-[0-9A-Za-z\-]{10,250}",  # Slack
            rb"hooks\.slack\.com/services/T[0-9A-Z]{8,12}/B[0-9A-Z]{8,12}/[0-9A-Za-z]{24}",
            rb"AIza%b{35}" % TOKEN,  # Google API keys, OAuth secrets and tokens
            rb"GOCSPX-%b{28}" % TOKEN,
            rb"ya29\.%b{20,1024}" % TOKEN,
            rb"[sr]k_(?:live|test)_[0-9A-Za-z]{16,247}",  # Stripe
            rb"whsec_[0-9A-Za-z+/=]{32,64}",
            rb"sk-(?:proj-|ant-|svcacct-)?%b{32,200}" % TOKEN,  # OpenAI, Anthropic
            rb"hf_[0-9A-Za-z]{34,40}",  # Hugging Face
            rb"npm_[0-9A-Za-z]{36}",
            rb"pypi-AgEI%b{50,1024}" % TOKEN,
            rb"SG\.%b{22}\.%b{43}" % (TOKEN, TOKEN),  # SendGrid
            rb"dop_v1_[0-9a-f]{64}",  # DigitalOcean
            rb"[0-9]{8,10}:AA%b{33}" % TOKEN,  # Telegram bots
        ]
    )
    + rb")(?!%b)" % TOKEN
)
JWT = re.compile(
    rb"(?<!%b)(eyJ%b{10,4096})\.eyJ%b{5,8192}\.%b{10,2048}(?!%b)" % (WORD, TOKEN, TOKEN, TOKEN, WORD)
)  # RFC 7519
NAMED = re.compile(
    rb"(?i:(?:api|access|auth|secret|private|client|consumer|app|account|encryption|signing|master|service)"
    rb"[_\-. ]?(?:key|token|secret|id_secret)|secret|token|passw(?:or)?d|pwd|credentials?)(?i:[_\-]?(?:key|id))?"
    rb"[\"']?[ \t]{0,4}(?:=>|:=|=|:)[ \t]{0,4}(?P<quote>[\"'`]?)(?P<value>[0-9A-Za-z_\-+/.=~!@#$\x25^&*]{12,256})"
    rb"(?P<end>[\"'`,;)\]} \t\r]|$)"
)
USER = re.compile(  # RFC 3986, 3.2.1; not the passwords and hosts of manuals
    rb"://[^\s:/@<>]{1,64}:(?P<value>(?!(?:pass(?:word|wd)?|pwd|secret|tiger)@)[^\s:/@<>]{3,128})"
    rb"@(?!localhost|127\.|example)[0-9A-Za-z]"
)
MARK = re.compile(rb"-----(BEGIN|END) [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----")
MAX_BLOCK = 20_000  # bytes; a 16384-bit RSA key in PEM has 12,600
LETTER, DIGIT = re.compile(rb"[A-Za-z]"), re.compile(rb"[0-9]")
HEX = re.compile(rb"[0-9a-fA-F]+")
# Shannon bits a byte. gitleaks asks 3.5 of what a name announces; sixteen and more random hex digits have 3 at least.
MIN_ENTROPY, MIN_HEX_ENTROPY = 3.5, 3.0
PLAIN = re.compile(rb"(?i)example|sample|placeholder|your|change.?me|xxxx|dummy|test.?key|\.\.\.|redacted|[a-z]+\(")


def find(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield the spans of secrets in a line; they may overlap. Of `name = "value"` it is the value, of a URL the
    password."""
    yield from (match.span() for match in MARKED.finditer(line))
    yield from (match.span() for match in JWT.finditer(line) if _is_header(match[1]))
    yield from (match.span("value") for match in USER.finditer(line))
    for match in NAMED.finditer(line):
        if _random(match["value"], bool(match["quote"])):
            yield match.span("value")


def blocks(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield the spans of private keys in PEM or PGP armour; one without an end is not taken for a key."""
    for begin, end in itertools.pairwise(MARK.finditer(text)):
        if begin[1] == b"BEGIN" and end[1] == b"END" and end.end() - begin.start() <= MAX_BLOCK:
            yield begin.start(), end.end()


def _is_header(part: bytes) -> bool:
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        return False
    return b'"alg"' in decoded


def _random(value: bytes, quoted: bool) -> bool:
    """Tell whether a value is a secret rather than a word, a variable, a path or an example."""
    if not (LETTER.search(value) and DIGIT.search(value)) or PLAIN.search(value):
        return False
    if not quoted and len(value) < 16:
        return False
    if value[:1] in b"$/.@#" or value.count(b".") > 2 or value.count(b"/") > len(value) // 8:
        return False
    return entropy(value) >= (MIN_HEX_ENTROPY if HEX.fullmatch(value) else MIN_ENTROPY)
