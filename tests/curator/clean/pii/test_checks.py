"""Checksums and ranges against published vectors and the definitions done longhand."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.clean.pii import checks


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "5105105105105100",
        "2223003122003222", "378282246310005", "371449635398431", "6011111111111117", "30569309025904",
        "38520000023237", "3530111333300000", "6200000000000005",
    ],
)  # fmt: skip
def test_the_schemes_own_test_numbers_are_cards(number):
    assert checks.is_card(number)
    assert not checks.is_card(number[:-1] + str((int(number[-1]) + 1) % 10))


def test_luhn_on_the_example_of_its_standard():
    assert checks.luhn("79927398713")
    assert [d for d in range(10) if checks.luhn(f"7992739871{d}")] == [3]


@given(st.text("0123456789", min_size=1, max_size=25))
def test_luhn_is_the_sum_done_longhand(digits):
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 else 1)
        total += doubled // 10 + doubled % 10
    assert checks.luhn(digits) == (total % 10 == 0)


@pytest.mark.parametrize("number", ["0000000000000000", "9111111111111111", "4111111111119", "1234567812345670", ""])
def test_a_good_check_digit_makes_no_card_without_an_issuer(number):
    assert not checks.is_card(number)


# examples of the ISO 13616 registry
IBANS = """GB29NWBK60161331926819 DE89370400440532013000 FR1420041010050500013M02606 NL91ABNA0417164300
BE68539007547034 CH9300762011623852957 ES9121000418450200051332 IT60X0542811101000000123456 NO9386011117947
SE4550000000058398257466 PL61109010140000071219812874 AT611904300234573201 SA0380000000608010167519
BR1800360305000010009795493C1 TR330006100519786457841326 MT84MALT011000012345MTLCAST001S""".split()


@pytest.mark.parametrize("number", IBANS)
def test_the_registrys_examples_are_ibans(number):
    assert checks.is_iban(number)
    assert not checks.is_iban(number + "0")
    assert not checks.is_iban(number[:-2] + number[-1] + number[-2]) or number[-1] == number[-2]


@given(st.sampled_from(IBANS), st.integers(4, 30), st.text("0123456789", min_size=1, max_size=1))
def test_one_changed_digit_is_seen(number, place, digit):
    if place < len(number) and number[place].isdigit() and number[place] != digit:
        assert not checks.is_iban(number[:place] + digit + number[place + 1 :])


def test_social_security_numbers_never_given():
    assert checks.is_ssn("123456789")
    for number in ("000121234", "666121234", "900121234", "999121234", "123001234", "123450000", "078051120"):
        assert not checks.is_ssn(number), number


@given(st.integers(0, 2**32 - 1))
def test_ipv4_against_the_standard_library(number):
    address = ipaddress.IPv4Address(number)
    if address in ipaddress.IPv4Network("192.88.99.0/24") or address in ipaddress.IPv4Network("192.0.0.0/24"):
        return  # Python's releases differ on these
    wanted = address.is_global and not address.is_multicast
    assert checks.is_public_ipv4(list(address.packed)) == wanted


@pytest.mark.parametrize("network", ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "203.0.113.0/24", "224.0.0.0/3"])
def test_ipv4_at_the_ends_of_a_network(network):
    first, *_, last = (ipaddress.IPv4Network(network)[i] for i in (0, 1, -1))
    assert not checks.is_public_ipv4(list(first.packed))
    assert not checks.is_public_ipv4(list(last.packed))
    assert checks.is_public_ipv4(list((first - 1).packed))


def test_ipv4_of_what_is_none():
    assert not checks.is_public_ipv4([256, 8, 8, 8])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("2606:2800:220:1:248:1893:25c8:1946", True), ("2a00:1450:4001:81b::200e", True),
        ("2001:4860:4860::8888", True),
        ("2001:db8::1", False), ("3fff::1", False), ("fe80::1", False), ("fc00::1", False), ("::1", False),
        ("2001:4860", False), ("2024:10:12", False), ("2001:::1", False),
    ],
)  # fmt: skip
def test_ipv6(address, public):
    assert checks.is_public_ipv6(address) == public


def test_entropy():
    assert checks.entropy(b"aaaa") == 0
    assert checks.entropy(b"abcdabcd") == 2
    assert checks.entropy(b"") == 0
