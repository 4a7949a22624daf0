"""What counts as personal: a table of kinds, each with a quick sign for RE2 and an exact search in a line.

Lines and spans are bytes of UTF-8. Every pattern has a longest match, so a search takes time in proportion to
the line, whatever stands there. What stands for a kind in `reserved` is set aside for documentation (RFC 2606,
5737; NANPA's 555-0100) or fails the kind's own check; no search finds it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from curator.clean.pii import phones, secrets
from curator.clean.pii.checks import IBAN_LENGTHS, is_card, is_iban, is_public_ipv4, is_public_ipv6, is_ssn

Find = Callable[[bytes], Iterator[tuple[int, int]]]


@dataclass(frozen=True)
class Entity:
    """One kind of personal data."""

    kind: str
    sign: str  # RE2: matches inside every span that `find` gives
    find: Find  # the spans in a line, which may overlap
    reserved: str  # what may stand in its place and is nobody's


# Letters of Latin, Greek, Cyrillic and Armenian addresses (RFC 6531), two bytes each. Not those of scripts that
# put no blanks between words: there an address ends where ASCII does.
TWO = rb"\x80-\xbf\xc3-\xd4"
LOCAL = rb"[0-9A-Za-z_\x25+\-'&~" + TWO + rb"]{1,64}+"  # of RFC 5322's marks those that addresses have
LABEL = rb"[0-9A-Za-z\-" + TWO + rb"]{1,63}+"
EMAIL = re.compile(
    rb"(?<![0-9A-Za-z_])(?<![\xc3-\xd4][\x80-\xbf])(?=[0-9A-Za-z_\xc3-\xd4])"
    rb"(?P<local>%b(?:\.%b){0,8}+)@(?P<domain>%b(?:\.%b){1,8})" % (LOCAL, LOCAL, LABEL, LABEL)
)
MAX_LOCAL = 64  # bytes, RFC 5321 4.5.3.1
TOP_LEVEL = re.compile(rb"(?i)[a-z%b]{2,24}|xn--[0-9a-z\-]{1,59}" % TWO)
FILES = set(b"png jpg jpeg gif svg webp css js html htm php json xml tgz gz txt pdf".split())
RESERVED = re.compile(rb"(?i)(?:.*\.)?(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost)")  # RFC 2606, 6761
USERINFO = re.compile(rb"://[^\s:/@]{1,64}:[^\s/@]{0,80}$")
DISGUISED = re.compile(
    rb"(?<![0-9A-Za-z._%+\-])[0-9A-Za-z_%+\-]{1,64}(?:\.[0-9A-Za-z_%+\-]{1,64}){0,3}"
    rb" {0,2}[\[({<] ?(?i:at) ?[\])}>] {0,2}(?P<domain>[0-9A-Za-z\-]{1,63}"
    rb"(?:(?: {0,2}[\[({<] ?(?i:dot) ?[\])}>] {0,2}| (?i:dot) |\.)[0-9A-Za-z\-]{1,63}){1,4})"
)
DOT = re.compile(rb"(?i) {0,2}[\[({<] ?dot ?[\])}>] {0,2}| dot ")

IPV4 = re.compile(
    rb"(?<![0-9A-Za-z_.])(?<![A-Za-z_][/\-])((?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3})"
    rb"(?![0-9A-Za-z_]|\.[0-9a-z]|-[A-Za-z])"
)
VERSION = re.compile(
    rb"(?i)(?:version|ver|v|release|build|firmware|driver|patch|update|rev|section|chapter)[ .:=#]{1,3}$"
)
# Version and section numbers: all four numbers small, or the last three tiny; 3e-4 of random addresses look so.
SMALL, TINY = 32, 10
IPV6 = re.compile(
    rb"(?<![0-9A-Za-z_:.])([23][0-9A-Fa-f]{3}(?::{1,2}[0-9A-Fa-f]{1,4}){1,7}(?:::)?)(?![0-9A-Za-z_]|[.:][0-9A-Za-z:])"
)

# 4-4-4-4(-3), 4-6-5 and 4-6-4 digits with equal gaps, or none at all; not four of more groups of four
CARD = re.compile(
    rb"(?<![0-9A-Za-z_.#])(?<![0-9][,\-/])(?<![0-9A-Z]{4} )(?:[0-9]{14,19}"
    rb"|[0-9]{4}([ .\-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?|[0-9]{4}([ .\-])[0-9]{6}\2[0-9]{4,5})"
    rb"(?![0-9A-Za-z_]|[.,\-][0-9]| [0-9]{4}\b)"
)
IBAN = re.compile(rb"(?<![0-9A-Za-z_])(?:[A-Z]{2}[0-9]{2}(?:[ \-]?[0-9A-Z]){11,29}|[a-z]{2}[0-9]{2}[0-9a-z]{11,29})")
SSN = re.compile(rb"(?<![0-9A-Za-z_])(?<![0-9][.,\-/])([0-9]{3})-([0-9]{2})-([0-9]{4})(?![0-9A-Za-z_]|[.\-][0-9])")
NAMED_SSN = re.compile(
    rb"(?i:\bssn\b|\bsocial security(?: (?:number|no|num|card))?|\bsoc\.? ?sec\.?|\bss ?#)[ .:#()=-]{0,4}"
    rb"(?:(?i:number|no|is|was)\b[ .:#]{0,3}){0,2}(?P<number>([0-9]{3})([ \-.]?)([0-9]{2})\3([0-9]{4}))"
    rb"(?![0-9A-Za-z_]|[.\-][0-9])"
)


def emails(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield addresses of mail (RFC 5321 lengths, no quoted local parts); not those set aside for examples, file
    names such as icon@2x.png, the user of git@host:path, nor the password of a URL."""
    for match in EMAIL.finditer(line):
        labels = match["domain"].rstrip(b"-").split(b".")
        while len(labels) > 1 and not TOP_LEVEL.fullmatch(labels[-1]):
            labels.pop()
        domain = b".".join(labels)
        stop = match.start("domain") + len(domain)
        remote = match["local"] == b"git" and line[stop : stop + 1] == b":"
        password = USERINFO.search(line, max(0, match.start() - 160), match.start())
        if len(labels) > 1 and len(match["local"]) <= MAX_LOCAL and _is_domain(labels) and not (remote or password):
            yield match.start(), stop


def disguised(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield addresses written as name [at] host dot com."""
    for match in DISGUISED.finditer(line):
        if _is_domain(DOT.sub(b".", match["domain"]).split(b".")):
            yield match.span()


def _is_domain(labels: list[bytes]) -> bool:
    whole = not any(label.startswith(b"-") or label.endswith(b"-") for label in labels)
    known = TOP_LEVEL.fullmatch(labels[-1]) and labels[-1].lower() not in FILES
    return bool(whole and known and not RESERVED.fullmatch(b".".join(labels)))


def addresses(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield public IP addresses, in no form that a version number has."""
    for match in IPV4.finditer(line):
        octets = [int(octet) for octet in match[1].split(b".")]
        small = max(octets) < SMALL or max(octets[1:]) < TINY
        versioned = small or VERSION.search(line, max(0, match.start() - 12), match.start())
        heading = not line[: match.start()].strip() and line[match.end() : match.end() + 2] == b". "
        if is_public_ipv4(octets) and not (versioned or heading):
            yield match.span()
    for match in IPV6.finditer(line):
        if is_public_ipv6(match[1].decode()):
            yield match.span(1)


def cards(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield numbers of payment cards (`checks.is_card`), in one piece or in the groups printed on cards."""
    for match in CARD.finditer(line):
        if is_card(_without_gaps(match[0])):
            yield match.span()


def ibans(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield international bank account numbers (`checks.is_iban`), also with blanks or hyphens."""
    for match in IBAN.finditer(line):
        length, taken, stop = IBAN_LENGTHS.get(match[0][:2].decode().upper(), 0), 0, match.start()
        for byte in match[0]:
            if taken == length:
                break
            taken += byte not in b" -"
            stop += 1
        ends = not line[stop : stop + 1].isalnum()
        if length and ends and is_iban(_without_gaps(line[match.start() : stop]).upper()):
            yield match.start(), stop


def ssns(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield US social security numbers: ddd-dd-dddd anywhere; with blanks, dots or nothing between only after
    a word that says so, for nine digits are anything."""
    for match in SSN.finditer(line):
        if is_ssn((match[1] + match[2] + match[3]).decode()):
            yield match.span()
    for match in NAMED_SSN.finditer(line):
        if is_ssn((match[2] + match[4] + match[5]).decode()):
            yield match.span("number")


def _without_gaps(number: bytes) -> str:
    return number.translate(None, b" .-").decode()


# In order of priority: of spans that begin together and are as long, the first one's kind is told.
ENTITIES = (
    Entity(
        "secret",
        r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}|gh[pousr]_[0-9A-Za-z]{36}|github_pat_|glpat-|xox[abeoprs]-|hooks\.slack|"
        r"AIza|GOCSPX-|ya29\.|[sr]k_(?:live|test)_|whsec_|sk-[0-9A-Za-z_\-]{32}|hf_[0-9A-Za-z]{34}|npm_[0-9A-Za-z]{36}|"
        r"PRIVATE KEY|pypi-AgEI|SG\.[0-9A-Za-z_\-]{22}|dop_v1_|[0-9]{8}:AA|eyJ[0-9A-Za-z_\-]{10}|"
        r"://[^\s/@]+@|"
        r"(?i:key|secret|token|passwd|password|pwd|credential|credentials|id)"
        r"[\"']?[ \t]{0,4}(?:=|:)[ \t>=]{0,5}[\"'`]?[0-9A-Za-z_\-+/.=~!@#$%^&*]{12}",
        secrets.find,
        "REDACTED",
    ),
    Entity("credit_card", r"[0-9]{14}|[0-9]{4}[ .\-][0-9]{4}[ .\-]?[0-9]{2}", cards, "0000 0000 0000 0000"),
    Entity(
        "iban", r"[A-Z]{2}[0-9]{2}(?:[ \-]?[0-9A-Z]){11}|[a-z]{2}[0-9]{2}[0-9a-z]{11}", ibans, "XX00 0000 0000 0000"
    ),
    Entity("us_ssn", r"[0-9]{3}[\- .]?[0-9]{2}[\- .]?[0-9]{4}", ssns, "000-00-0000"),
    Entity("email", r"@[0-9A-Za-z\-\x{c0}-\x{53f}]+\.[0-9A-Za-z\-\x{c0}-\x{53f}]", emails, "email@example.com"),
    Entity("ip", r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9a-fA-F]{3}:[0-9a-fA-F:]", addresses, "192.0.2.1"),
    Entity("phone", r"(?:[0-9][ .()/\-\x{a0}\x{2010}-\x{2013}]{0,3}){7}", phones.find, "202-555-0100"),
)
DISGUISED_EMAIL = Entity("email", r"(?i)[\[({<] ?at ?[\])}>]", disguised, "email@example.com")
