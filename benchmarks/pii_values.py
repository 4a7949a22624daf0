"""Personal data of nobody, in the forms people write it in, made by rules of its own: nothing of the detector's."""

from __future__ import annotations

import base64
import ipaddress
import itertools
import json
import random
import string

PHONES = {
    "US": "(XNN) XNN-NNNN|XNN-XNN-NNNN|XNN.XNN.NNNN|+1 XNN XNN NNNN|+1 (XNN) XNN-NNNN|1-XNN-XNN-NNNN|+1XNNXNNNNNN|"
          "XNN XNN NNNN|XNNXNNNNNN",
    "GB": "020 7NNN NNNN|+44 20 7NNN NNNN|07NNN NNNNNN|+44 7NNN NNNNNN|(0161) XNN NNNN|+44 (0)20 8NNN NNNN|"
          "0044 20 7NNN NNNN",
    "DE": "030 XNNNNNNN|+49 30 XNNNNNN|0171 XNNNNNN|0171/XNNNNNN|+49 (0)89 XNNNNN|089 / XN NN NN|0221-XNNNNNN",
    "FR": "01 XN NN NN NN|06.NN.NN.NN.NN|+33 1 XN NN NN NN|+33 (0)6 NN NN NN NN|06NNNNNNNN|+33612NNNNNN",
    "IT": "06 NNNN NNNN|+39 02 NNNN NNNN|+39 333 NNNNNNN|333 NNN NNNN",
    "ES": "91X NNN NNN|+34 91X NNN NNN|6NN NN NN NN|+34 6NN NNN NNN",
    "NL": "020-XNNNNNN|06-NNNNNNNN|+31 6 NNNNNNNN|+31 20 XNN NNNN",
    "BE": "+32 2 XNN NN NN|02/XNN.NN.NN|0475 NN NN NN",
    "CH": "044 XNN NN NN|+41 44 XNN NN NN|079 XNN NN NN",
    "SE": "08-XNN NNN NN|+46 70 XNN NN NN|070-XNN NN NN",
    "NO": "XN NN NN NN|+47 XNN NN NNN",
    "DK": "+45 XN NN NN NN",
    "PL": "22 XNN NN NN|+48 XNN NNN NNN|XNN-NNN-NNN",
    "RU": "8 (495) XNN-NN-NN|+7 9NN NNN-NN-NN|8-9NN-NNN-NN-NN|+7(9NN)NNNNNNN",
    "BR": "(11) 9NNNN-NNNN|+55 21 XNNN-NNNN|+55 (11) 9NNNN-NNNN",
    "MX": "+52 55 XNNN NNNN|55 XNNN NNNN",
    "IN": "+91 9NNNN NNNNN|+91-9NNNNNNNNN|9NNNN NNNNN|022-XNNNNNNN",
    "CN": "+86 13N NNNN NNNN|13NNNNNNNNN|010-XNNNNNNN|0755-XNNNNNNN",
    "JP": "03-XNNN-NNNN|090-NNNN-NNNN|+81 3-XNNN-NNNN",
    "KR": "010-XNNN-NNNN|+82 2-XNN-NNNN|02-XNN-NNNN",
    "AU": "(02) 9NNN NNNN|0412 NNN NNN|+61 4NN NNN NNN|1300 NNN NNN",
    "NZ": "+64 21 NNN NNNN|09 XNN NNNN",
    "ZA": "082 NNN NNNN|+27 11 XNN NNNN",
    "TR": "0212 XNN NN NN|+90 532 NNN NN NN",
    "IL": "03-XNNNNNN|+972-3-XNNNNNN",
    "SG": "+65 6NNN NNNN",
    "NG": "+234 803 NNN NNNN",
    "IE": "01 XNN NNNN|+353 1 XNN NNNN",
    "PT": "+351 21 XNN NNNN",
    "GR": "+30 21N NNN NNNN",
}  # fmt: skip
GIVEN = "Anna Luis Mohammed Wei Olga James Fatima Kenji Priya Lars Chloé Jürgen Zoë Siobhán Иван Nikos".split()
FAMILY = "Smith Müller García O'Brien Nguyen Kowalski Rossi Tanaka Okafor Larsen Петров van-Dijk Hughes".split()
HOSTS = "acme northwind fjordline kite-labs bluebird quantum-leap muenchen-it gruenwald parkside 163 uni-x".split()
TOPS = "com org net io de co.uk fr com.br co.jp edu gov ac.in museum info dev eu nl се xn--p1ai".split()
SUBDOMAINS = ("mail.", "cs.dept.", "eu-west-1.smtp.", "m.")
BASE62 = string.ascii_letters + string.digits
BANKS = {  # bank and account part of an IBAN: a letter, a digit or either
    "DE": "N" * 18, "GB": "AAAA" + "N" * 14, "FR": "N" * 10 + "C" * 11 + "NN", "NL": "AAAA" + "N" * 10, "BE": "N" * 12,
    "ES": "N" * 20, "IT": "A" + "N" * 10 + "C" * 12, "CH": "NNNNN" + "C" * 12, "AT": "N" * 16, "PL": "N" * 24,
    "NO": "N" * 11, "SA": "NN" + "C" * 18, "MT": "AAAA" + "NNNNN" + "C" * 18, "TR": "NNNNN" + "0" + "C" * 16,
}  # fmt: skip
CARDS = (
    ("4", 16),
    ("51", 16),
    ("54", 16),
    ("2315", 16),
    ("37", 15),
    ("34", 15),
    ("6011", 16),
    ("3566", 16),
    ("36", 14),
)


def digits(rng: random.Random, pattern: str) -> str:
    """Fill a pattern: N a digit, X one from 2 to 9, A a capital, C a capital or digit."""
    choices = {"N": string.digits, "X": "23456789", "A": string.ascii_uppercase}
    choices["C"] = choices["A"] + choices["N"]
    return "".join(rng.choice(choices[c]) if c in choices else c for c in pattern)


def token(rng: random.Random, length: int, alphabet: str = BASE62) -> str:
    return "".join(rng.choices(alphabet, k=length))


def phone(rng: random.Random) -> str:
    number = digits(rng, rng.choice(PHONES[rng.choice(sorted(PHONES))].split("|")))
    fiction = "55501" in number.translate(str.maketrans("", "", " ()-."))
    return phone(rng) if fiction else number


def email(rng: random.Random) -> str:
    given, family = rng.choice(GIVEN), rng.choice(FAMILY)
    forms = (
        f"{given}.{family}", f"{given[0]}{family}", f"{given}_{family}{rng.randrange(100)}", f"{given}+news",
        f"{family}-{given}", f"{family}.{given}.{rng.randrange(1950, 2010)}", token(rng, 9, string.digits), "info",
    )  # fmt: skip
    local = rng.choice(forms)
    host = rng.choice([*HOSTS, "müller-bau", "почта"] if not local.isascii() else HOSTS)
    address = f"{local}@{rng.choice(SUBDOMAINS) if rng.random() < 0.25 else ''}{host}.{rng.choice(TOPS)}"
    return rng.choice((address.lower(), address.lower(), address, address.upper()))


def ip(rng: random.Random) -> str:
    if rng.random() < 0.3:
        prefix = rng.choice((0x2001_0470, 0x2600_1F18, 0x2A00_1450, 0x2804_0014, 0x2400_CB00))
        tail = rng.choice((rng.getrandbits(96), rng.getrandbits(16), rng.getrandbits(32) << 64 | rng.getrandbits(16)))
        address = ipaddress.IPv6Address(prefix << 96 | tail)
        return rng.choice((str(address), address.exploded, str(address).upper()))
    number = ipaddress.IPv4Address(rng.getrandbits(32))
    return str(number) if number.is_global and not number.is_multicast else ip(rng)


def check_digit(number: str) -> str:
    """Return a number with its Luhn check digit."""
    total = sum(sum(divmod(int(d) * (2 if place % 2 == 0 else 1), 10)) for place, d in enumerate(number[::-1]))
    return number + str(-total % 10)


def credit_card(rng: random.Random) -> str:
    prefix, length = rng.choice(CARDS)
    number = check_digit(prefix + token(rng, length - len(prefix) - 1, string.digits))
    sizes = (4, 4, 4, 4) if length == 16 else (4, 6, length - 10)
    gap = rng.choice(("", " ", " ", "-", "."))
    ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    return gap.join(number[a:b] for a, b in itertools.pairwise(ends))


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(BANKS))
    bank = digits(rng, BANKS[country])
    check = 98 - int("".join(str(int(c, 36)) for c in f"{bank}{country}00")) % 97
    number = f"{country}{check:02}{bank}"
    grouped = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return rng.choice((number, grouped, grouped, number.lower() if rng.random() < 0.3 else number))


def us_ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03}-{rng.randrange(1, 100):02}-{rng.randrange(1, 10_000):04}"


def secret(rng: random.Random) -> str:
    """Return a secret that shows by itself."""
    part = lambda said: base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")  # noqa: E731
    lines = [token(rng, 64, BASE62 + "+/") for _ in range(rng.randrange(12, 26))]
    kind = rng.choice(("RSA ", "EC ", "", "OPENSSH "))
    return rng.choice(
        (
            "AKIA" + token(rng, 16, string.ascii_uppercase + "234567"),
            rng.choice(("ghp_", "gho_", "ghs_")) + token(rng, 36),
            "github_pat_" + token(rng, 22) + "_" + token(rng, 59),
            f"xoxb-{token(rng, 12, string.digits)}-{token(rng, 13, string.digits)}-{token(rng, 24)}",
            "AIza" + token(rng, 35, BASE62 + "-_"),
            rng.choice(("sk_live_", "rk_live_", "sk_test_")) + token(rng, 24),
            f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': token(rng, 8), 'iat': rng.getrandbits(30)})}."
            + token(rng, 43, BASE62 + "-_"),
            "\n".join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"]),
        )
    )


def hidden_secret(rng: random.Random) -> str:
    """Return a random value that only the name before it gives away."""
    return rng.choice(
        (
            token(rng, 24),
            token(rng, 40, BASE62 + "/+"),
            token(rng, 32, "0123456789abcdef"),
            token(rng, 20),
            token(rng, 16),
        )
    )


MAKERS = {
    "email": email,
    "phone": phone,
    "ip": ip,
    "credit_card": credit_card,
    "iban": iban,
    "us_ssn": us_ssn,
    "secret": secret,
}
