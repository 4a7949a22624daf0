"""A labelled set for personal data: real sentences around planted values, and look-alikes that are none."""

from __future__ import annotations

import gzip
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from benchmarks import pii_values as values

ANYWHERE = (
    "{}", "({})", "{}.", "It was {}, as far as we know.", "See {} for more", "| {} | yes |", '"{}"', "- {}",
    "<td>{}</td>", "{}, and that is all", "it ended with {};", "x\t{}\ty",
)  # fmt: skip
NAMED = {
    "email": ("Email: {}", "mailto:{}", "Write to {} today", "From: A. Person <{}>", "contact={}&x=1"),
    "phone": ("Tel: {}", "Phone: {}", "Call {} now", "Fax {}", "tel. {}", "Mobile: {}"),
    "ip": ("http://{}/", "host {} is up", "from {} port 22", "Client IP: {}", '{} - - [x] "GET /"'),
    "credit_card": ("Card number: {}", "Visa {}", "paid with {}"),
    "iban": ("IBAN: {}", "IBAN {} BIC x", "to account {} please"),
    "us_ssn": ("SSN: {}", "Social Security Number {}", "SSN {} on file"),
    "secret": ("token {}", "key: {}", "export KEY={}", "Authorization: Bearer {}"),
}
ASSIGNED = (
    'api_key = "{}"', "API_KEY={}", '"client_secret": "{}"', "password: '{}'", "aws_secret_access_key = {}",
    "secret_key: {}", "auth_token => '{}'", "https://admin:{}@db.kite-labs.io/x",
)  # fmt: skip
SPACED_SSN = ("SSN: {}", "social security number is {}", "SSN {}")
LOOKALIKES: dict[str, Callable[[random.Random], str]] = {
    "order number": lambda r: r.choice(("#{}", "Order {}", "No. {}", "{}")).format(
        values.digits(r, "N" * r.randrange(6, 17))
    ),
    "product code": lambda r: values.digits(r, r.choice(("AA-NNNN-NNNN", "NNNN-NNNNNN", "AANNNNNNNN", "NNN-NNNN-NN"))),
    "isbn": lambda r: values.digits(
        r, r.choice(("978-X-NN-NNNNNN-N", "978XNNNNNNNNN", "0-NNN-NNNNN-N", "ISBN 0NNNNNNNNN"))
    ),
    "date": lambda r: (
        f"{r.randrange(1, 29):02}{(sep := r.choice('-./'))}{r.randrange(1, 13):02}{sep}{r.randrange(1950, 2030)}"
    ),
    "timestamp": lambda r: r.choice(
        (
            f"{r.randrange(1990, 2030)}-0{r.randrange(1, 10)}-1{r.randrange(10)} {values.digits(r, '1N:3N:2N.NNN')}",
            str(r.randrange(10**9, 2 * 10**9)),
            str(r.randrange(10**12, 2 * 10**12)),
            values.digits(r, "201N-0X-1NT1N:2N:3N+02:00"),
            values.digits(r, "201N0X1N1N2N3N"),
        )
    ),
    "version": lambda r: r.choice(("version {}", "v{}", "Chrome/{}", "nginx-{}", "release {}", "{}-beta")).format(
        ".".join(str(r.randrange(r.choice((4, 12, 120)))) for _ in range(4))
    ),
    "small version": lambda r: ".".join(str(r.randrange(12)) for _ in range(r.choice((3, 4, 4)))),
    "section number": lambda r: f"{r.randrange(1, 40)}.{r.randrange(1, 9)}.{r.randrange(1, 9)}.{r.randrange(1, 9)}",
    "decimal": lambda r: f"{r.uniform(-1000, 1000):.{r.randrange(4, 16)}f}",
    "large number": lambda r: f"{r.randrange(10**6, 10**13):,}",
    "private ip": lambda r: values.digits(
        r,
        r.choice(
            (
                "10.1N.X.7",
                "192.168.1.1N",
                "172.16.X.1N",
                "127.0.0.1",
                "0.0.0.0",
                "203.0.113.1N",
                "fe80::1:NNNN",
                "2001:db8::NNNN",
                "::1",
            )
        ),
    ),
    "hash": lambda r: values.token(r, r.choice((32, 40, 64)), "0123456789abcdef"),
    "named hash": lambda r: r.choice(("sha256: {}", "commit {}", "checksum={}", 'etag: "{}"')).format(
        values.token(r, r.choice((40, 64)), "0123456789abcdef")
    ),
    "uuid": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "coordinates": lambda r: f"{r.uniform(-90, 90):+.{r.choice((4, 6))}f}, {r.uniform(-180, 180):+.6f}",
    "arxiv or doi": lambda r: values.digits(
        r, r.choice(("arXiv:2NNN.NNNNN", "10.1NNN/s1NNNN-02N-NNNN-N", "doi:10.1NNN/NNNNNNN"))
    ),
    "price": lambda r: r.choice(("${:,.2f}", "{:,.2f} EUR", "£{:,.0f}", "{:.2f}")).format(r.uniform(1, 10**7)),
    "maths": lambda r: values.digits(
        r,
        r.choice(
            (
                "NNNN + NNNNNN = NNNNNNN",
                "(X + N)(NNN - NNNN)",
                "2^NN - 1 = NNNNNNNNNN",
                "x_1 = 0.NNNNNNNN",
                "NN/NN/NN",
                "NNN-NN-NN",
            )
        ),
    ),
    "score list": lambda r: " ".join(str(r.randrange(100)) for _ in range(r.randrange(4, 14))),
    "hex dump": lambda r: " ".join(f"{r.randrange(256):02x}" for _ in range(16)),
    "handle or asset": lambda r: r.choice(
        (
            "@someone",
            "logo@2x.png",
            "lodash@4.17.21",
            "git@github.com:me/x.git",
            "user@example.com",
            "a @ b",
            "foo@bar",
            "@media (min-width: 600px)",
        )
    ),
    "placeholder": lambda r: r.choice(
        (
            'api_key = "YOUR_API_KEY_HERE"',
            "password: correct horse",
            "token = get_token(x1)",
            "secret = os.environ['X1']",
            "SECRET_KEY=${SECRET_KEY_1}",
            "api_key=xxxxxxxxxxxxxxxx1",
        )
    ),
    "bad check digit": lambda r: r.choice((_spoiled(values.credit_card(r)), _spoiled(values.iban(r)))),
    "mac or time": lambda r: r.choice(
        (":".join(f"{r.randrange(256):02x}" for _ in range(6)), values.digits(r, "1N:2N:3N"))
    ),
    "nine digits": lambda r: values.digits(r, "XNNNNNNNN"),
    "year range": lambda r: f"{r.randrange(1900, 2000)}-{r.randrange(2000, 2030)}",
}


@dataclass
class Document:
    """A text with what was planted in it: (start, stop, kind), bytes; and look-alikes with their class."""

    text: str = ""
    planted: list[tuple[int, int, str]] = field(default_factory=list)
    lookalikes: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, before: str, value: str, after: str, kind: str, into: list[tuple[int, int, str]]) -> None:
        self.text += before
        start = len(self.text.encode())
        self.text += value
        into.append((start, len(self.text.encode()), kind))
        self.text += after


def sentences(data: Path) -> list[str]:
    """Return sentences of real web text and news without digits or marks of addresses: nothing personal of a kind
    that is looked for is in them. From templates where the folder is absent."""
    if not data.is_dir():
        return ["We met again last week.", "The meeting was short, and nobody took notes.", "Thanks for your help!"]
    web = (data / "text_en/c4_demo.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in web if line]
    with gzip.open(data / "text_en/brown.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts += [json.loads(line)["text"] for line, _ in zip(lines, range(100))]
    found = (s.strip() for text in texts for s in re.split(r"(?<=[.!?])\s+|\n", text))
    return sorted({s for s in found if 30 < len(s) < 300 and not re.search(r"[0-9@]|://", s)})


def documents(count: int, data: Path, seed: int) -> Iterator[Document]:
    """Yield documents of some sentences, planted values of every kind, and look-alikes, in random order."""
    rng, carriers = random.Random(seed), sentences(data)
    for _ in range(count):
        document = Document()
        for _ in range(rng.randrange(4, 12)):
            document.text += rng.choice(carriers) + rng.choice((" ", "\n"))
            if rng.random() < 0.5:
                _plant(document, rng)
            else:
                kind = rng.choice(sorted(LOOKALIKES))
                before, after = rng.choice(ANYWHERE).split("{}")
                document.add(before, LOOKALIKES[kind](rng), after, kind, document.lookalikes)
            document.text += rng.choice((" ", "\n", "\r\n"))
        yield document


def _plant(document: Document, rng: random.Random) -> None:
    kind = rng.choice(sorted(values.MAKERS))
    value = values.MAKERS[kind](rng)
    form = rng.choice(ANYWHERE if rng.random() < 0.5 else NAMED[kind])
    if kind == "secret" and rng.random() < 0.5:
        form, value = rng.choice(ASSIGNED), values.hidden_secret(rng)
        value = quote(value, safe="") if "://" in form else value
    if kind == "us_ssn" and rng.random() < 0.2:  # without hyphens nothing but its name tells what it is
        form, value = rng.choice(SPACED_SSN), value.replace("-", rng.choice(("", " ")))
    before, after = form.split("{}")
    document.add(before, value, after, kind, document.planted)


def _spoiled(number: str) -> str:
    """Change the last digit."""
    place = max(i for i, c in enumerate(number) if c.isdigit())
    return number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
