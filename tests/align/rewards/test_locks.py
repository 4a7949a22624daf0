"""The numbers of system calls are those of the kernel's headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from align.rewards import locks

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),  # aarch64 has the generic numbers
}
LOOKED_AT = ("clone", "open", "openat", "fcntl")  # by their arguments


def numbers(machine: str) -> dict[str, int]:
    if not HEADERS[machine].exists():
        pytest.skip(f"the kernel's headers are absent: {HEADERS[machine]}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    return {name: int(number) for name, number in found}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_kernels(machine):
    known = numbers(machine)
    denied = {name: number for name, number in locks.DENIED[machine].items() if name in known}
    assert denied == {name: known[name] for name in denied}
    assert len(denied) > 0.9 * len(locks.DENIED[machine])
    looked_at = {number for number, *_ in locks.ARGUMENTS[machine]}
    assert looked_at == {known[name] for name in LOOKED_AT if name in known}


@pytest.mark.parametrize("machine", HEADERS)
def test_both_machines_deny_the_same_calls(machine):
    """But for the older calls that only x86-64 has."""
    older = {"fork", "vfork", "chmod", "chown", "lchown", "utime", "utimes", "futimesat", "mknod"}
    assert set(locks.DENIED["x86_64"]) - set(locks.DENIED["aarch64"]) == older
    assert set(locks.DENIED["aarch64"]) <= set(locks.DENIED["x86_64"])


@pytest.mark.parametrize("machine", HEADERS)
def test_every_jump_of_the_filter_stays_inside_and_it_ends_by_allowing(machine):
    code = locks.program(machine)
    steps = [code[at : at + 8] for at in range(0, len(code), 8)]
    for at, step in enumerate(steps):
        operation, if_true, if_false = int.from_bytes(step[:2], "little"), step[2], step[3]
        if operation & 7 == 5:  # a jump
            assert at + 1 + max(if_true, if_false) < len(steps)
    assert steps[-1] == bytes.fromhex("060000000000ff7f")
