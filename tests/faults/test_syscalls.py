"""A few of the calls that `syscall_faults.py` fails one after the other, so that each kind is seen in every suite."""

from __future__ import annotations

import pytest

from tests.faults.syscall_faults import Fault, strace, tried, undisturbed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def expected() -> dict[str, bytes]:
    return undisturbed()


@pytest.mark.parametrize(
    ("call", "when"), [("write", 2), ("fsync", 1), ("fdatasync", 1), ("rename", 1), ("unlink", 1), ("openat", 3)]
)
def test_a_call_of_the_system_that_fails_is_a_sentence_and_the_same_command_goes_on(
    call: str, when: int, expected: dict[str, bytes]
) -> None:
    program = strace()
    if program is None:
        pytest.skip("strace is not installed or not allowed")
    verdict = tried(Fault("mock", call, when), program=program, expected=expected)
    assert verdict.came
    assert verdict.wrong == []
