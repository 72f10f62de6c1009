"""The user that root becomes to run untrusted code: a number that nobody else has and that owns nothing."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from task_kit.sandbox.spec import SandboxError

UNUSED: Final = range(1_900_000_000, 2_100_000_000)  # no distribution gives these numbers to anybody
PERHAPS_USED: Final = 10_000  # below it may be accounts of people and programs
NOBODY: Final = 65_534
USERS, GROUPS = Path("/proc/self/uid_map"), Path("/proc/self/gid_map")


def number() -> int:
    """A number for a user and a group, from those that this process's namespace has."""
    known = common(spans(USERS.read_text(encoding="ascii")), spans(GROUPS.read_text(encoding="ascii")))
    unused = common(known, [UNUSED]) or common(known, [range(PERHAPS_USED, NOBODY), range(NOBODY + 2, UNUSED.start)])
    if not unused:
        raise SandboxError(
            "root has no other user's number to run a box as",
            hint="run it as an ordinary user, or in a user namespace with more numbers",
        )
    return secrets.choice(max(unused, key=len))


def spans(table: str) -> list[range]:
    """The ranges in the kernel's table, whose lines have: first inside, first outside, count."""
    rows = [[int(word) for word in line.split()] for line in table.splitlines()]
    return [range(first, first + count) for first, _, count in rows]


def common(some: list[range], others: list[range]) -> list[range]:
    pairs = [range(max(one.start, other.start), min(one.stop, other.stop)) for one in some for other in others]
    return [pair for pair in pairs if pair]
