from __future__ import annotations

import errno
import itertools

import pytest

from task_kit.sandbox import seccomp

FLAGS = {"unix_sockets": False, "scoped": True, "truncation": True, "same_user": False}
ARCHITECTURES = sorted(seccomp.ARCHITECTURES)


def verdict(steps: list[seccomp.Step], number: int, *arguments: int, arch: int) -> int:
    """What the kernel's machine would answer."""
    words = {seccomp.NR_OFFSET: number, seccomp.ARCH_OFFSET: arch}
    words |= {seccomp.argument(index): value & 0xFFFFFFFF for index, value in enumerate((*arguments, *[0] * 6))}
    held = position = 0
    while True:
        code, yes, no, value = steps[position]
        position += 1
        if code == seccomp.RETURN:
            return value
        if code == seccomp.LOAD:
            held = words[value]
        else:
            tests = {
                seccomp.EQUAL: held == value,
                seccomp.ANY_BIT: bool(held & value),
                seccomp.GREATER_EQUAL: held >= value,
            }
            position += yes if tests[code] else no


def asked(arch: str, numbers: tuple[int | None, int | None], *arguments: int, **flags: bool) -> int:
    steps = seccomp.program(arch, **{**FLAGS, **flags})
    number = numbers[seccomp.COLUMN[arch]]
    assert number is not None
    return verdict(steps, number, *arguments, arch=seccomp.ARCHITECTURES[arch])


REFUSED = seccomp.FAIL | errno.EPERM


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_all_that_is_refused_is_refused_and_the_rest_allowed(arch: str) -> None:
    steps = seccomp.program(arch, **FLAGS)
    column = seccomp.COLUMN[arch]
    refused = {numbers[column] for numbers in seccomp.REFUSED.values()} - {None}
    special = {numbers[column] for numbers in (seccomp.CLONE3, seccomp.SOCKET, seccomp.SOCKETPAIR)}

    found = {number: verdict(steps, number, arch=seccomp.ARCHITECTURES[arch]) for number in range(500)}

    assert {number for number, answer in found.items() if answer == REFUSED} == refused | special - {
        seccomp.CLONE3[column]
    }
    assert {number for number, answer in found.items() if answer == seccomp.ALLOW} == set(
        range(500)
    ) - refused - special


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_number_stands_for_two_calls(arch: str) -> None:
    column = seccomp.COLUMN[arch]
    tables = (seccomp.REFUSED, seccomp.SIGNALS, seccomp.PATHS, seccomp.PRETENDED)
    numbers = [
        found[column] for found in itertools.chain(*(table.values() for table in tables)) if found[column] is not None
    ]

    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_arguments_decide_where_a_call_has_honest_uses(arch: str) -> None:
    user, thread = 0x10000000, 0x3D0F00
    assert asked(arch, seccomp.CLONE, user) == REFUSED
    assert asked(arch, seccomp.CLONE, thread) == seccomp.ALLOW
    assert asked(arch, seccomp.CLONE3) == seccomp.FAIL | errno.ENOSYS
    assert asked(arch, seccomp.SOCKETPAIR, 1) == seccomp.ALLOW
    assert asked(arch, seccomp.SOCKETPAIR, 2) == REFUSED
    assert asked(arch, seccomp.SOCKET, 1) == REFUSED
    assert asked(arch, seccomp.SOCKET, 1, unix_sockets=True) == seccomp.ALLOW
    assert asked(arch, seccomp.SOCKET, 2, unix_sockets=True) == REFUSED
    assert asked(arch, seccomp.IOCTL, 0, seccomp.TIOCSTI) == REFUSED
    assert asked(arch, seccomp.IOCTL, 0, seccomp.TIOCSTI | 1 << 32) == REFUSED
    assert asked(arch, seccomp.IOCTL, 0, seccomp.TIOCLINUX) == REFUSED
    assert asked(arch, seccomp.IOCTL, 0, 0x5401) == seccomp.ALLOW


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_landlock_cannot_do_is_done_here(arch: str) -> None:
    assert asked(arch, seccomp.SIGNALS["kill"]) == seccomp.ALLOW
    assert asked(arch, seccomp.SIGNALS["kill"], scoped=False) == REFUSED
    assert asked(arch, seccomp.PATHS["truncate"], truncation=False) == REFUSED
    assert asked(arch, seccomp.PRETENDED["fchmodat"]) == seccomp.ALLOW
    assert asked(arch, seccomp.PRETENDED["fchmodat"], same_user=True) == seccomp.FAIL
    assert asked(arch, seccomp.PRLIMIT, 1) == seccomp.ALLOW
    assert asked(arch, seccomp.PRLIMIT, 0, same_user=True) == seccomp.ALLOW
    assert asked(arch, seccomp.PRLIMIT, 1, same_user=True) == REFUSED


def test_another_set_of_numbers_is_no_way_around() -> None:
    steps = seccomp.program("x86_64", **FLAGS)

    assert verdict(steps, 1, arch=0x40000003) == seccomp.KILL  # the numbers of 32 bits
    assert verdict(steps, 1 | seccomp.X32, arch=seccomp.ARCHITECTURES["x86_64"]) == seccomp.KILL
