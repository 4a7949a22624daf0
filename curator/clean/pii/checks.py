"""Checksums and ranges that tell a number of a kind from any other of its length."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from ipaddress import AddressValueError, IPv4Network, IPv6Address, IPv6Network

# ISO/IEC 7812 issuer ranges in use: (first, last, length of both, lengths of the number). Thirteen-digit Visa
# numbers are out of use and look like EAN-13 bar codes, so they are not taken for cards.
ISSUERS = (
    ("4", "4", (16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard, since 2017
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("300", "305", (14, 16)),  # Diners Club
    ("3095", "3095", (14, 16)),
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("3528", "3589", (16, 19)),  # JCB
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("5018", "5018", (16,)),  # Maestro, the ranges that no other scheme shares
    ("5020", "5020", (16,)),
    ("5038", "5038", (16,)),
    ("5893", "5893", (16,)),
    ("6304", "6304", (16,)),
    ("6759", "6759", (16,)),
    ("6761", "6763", (16,)),
)

# ISO 13616 registry: characters of an IBAN, by country.
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV",
        22: "BG BH DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

# IANA special-purpose registries (RFC 6890 and what followed): addresses that name nobody on the public net.
# A table, as that of Python's ipaddress differs between its releases.
SPECIAL_V4 = [
    (int(network.network_address), int(network.broadcast_address))
    for network in map(
        IPv4Network,
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/3".split(),
    )
]
GLOBAL_V6 = IPv6Network("2000::/3")  # all that is given out so far
SPECIAL_V6 = [IPv6Network(n) for n in "2001:2::/48 2001:10::/28 2001:20::/28 2001:db8::/32 3fff::/20".split()]

# Printed on sample cards and in the SSA's own brochure; nobody's number.
SAMPLE_SSNS = {"078051120", "219099999"}


def luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * 2 for d in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def is_card(digits: str) -> bool:
    """Tell whether digits are a payment card's number: issuer, length and check digit."""
    issued = any(first <= digits[: len(first)] <= last and len(digits) in sizes for first, last, sizes in ISSUERS)
    return issued and luhn(digits)


def is_iban(characters: str) -> bool:
    """Tell whether upper-case letters and digits without blanks are an IBAN: country, length, mod 97 (ISO 7064)."""
    if len(characters) != IBAN_LENGTHS.get(characters[:2]) or not characters[2:4].isdigit():
        return False
    if not 2 <= int(characters[2:4]) <= 98:  # what 98 - n % 97 can be
        return False
    return int("".join(str(int(c, 36)) for c in characters[4:] + characters[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """Tell whether nine digits can be a US social security number: areas 000, 666 and 900 to 999, group 00 and
    serial 0000 are never given (SSA, since the randomisation of 2011)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    given = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
    return given and digits not in SAMPLE_SSNS


def is_public_ipv4(octets: list[int]) -> bool:
    """Tell whether four numbers are an address of the public net."""
    if max(octets) > 255:
        return False
    number = int.from_bytes(bytes(octets))
    place = bisect_right(SPECIAL_V4, (number, 1 << 32)) - 1
    return SPECIAL_V4[place][1] < number


def is_public_ipv6(address: str) -> bool:
    """Tell whether this is an address of the public net, in any of its spellings."""
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return False
    return parsed in GLOBAL_V6 and not any(parsed in network for network in SPECIAL_V6)


def entropy(text: bytes) -> float:
    """Return Shannon's entropy of the bytes, bits a byte, 0 for none."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
