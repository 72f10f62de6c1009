"""A few of the calls that `syscall_faults.py` fails one after the other, so that each kind is seen in every suite."""

from __future__ import annotations

import pytest

from tests.faults.syscall_faults import Fault, strace, tried, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected() -> dict[str, bytes]:
    return undisturbed()


@pytest.mark.parametrize(
    ("mode", "call", "when"),
    [
        *(
            ("mock", "write", 2),
            ("mock", "fsync", 1),
            ("mock", "rename", 1),
            ("mock", "openat", 3),
            ("live", "close", 7),
        ),
        *(pytest.param("mock", call, 1, marks=pytest.mark.long) for call in ("fdatasync", "unlink")),
        *(pytest.param("live", *each, marks=pytest.mark.long) for each in (("newfstatat", 4), ("mmap", 1))),
    ],
)
def test_a_call_of_the_system_that_fails_is_a_sentence_and_the_same_command_goes_on(
    mode: str, call: str, when: int, expected: dict[str, bytes]
) -> None:
    program = strace()
    if program is None:
        pytest.skip("strace is not installed or not allowed")
    verdict = tried(Fault(mode, call, when), program=program, expected=expected)
    assert verdict.came
    assert verdict.wrong == []
