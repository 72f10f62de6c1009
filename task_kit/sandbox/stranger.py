"""Who root becomes to run code that nobody trusts: a user that owns nothing and whom nobody else is.

Comes in: which numbers of users and groups there are, by this process's own namespace. Goes out: one of them.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from task_kit.sandbox.spec import SandboxError

UNUSED: Final = range(1_900_000_000, 2_100_000_000)  # no distribution hands these out
PERHAPS_USED: Final = 10_000  # by accounts of people and programs, where a namespace has few numbers
NOBODY: Final = 65_534
USERS, GROUPS = Path("/proc/self/uid_map"), Path("/proc/self/gid_map")


def number() -> int:
    """Of a user and of a group."""
    known = common(spans(USERS.read_text(encoding="ascii")), spans(GROUPS.read_text(encoding="ascii")))
    unused = common(known, [UNUSED]) or common(known, [range(PERHAPS_USED, NOBODY), range(NOBODY + 2, UNUSED.start)])
    if not unused:
        raise SandboxError(
            "root has no other user's number to run a box as",
            hint="run it as an ordinary user, or in a user namespace with more numbers",
        )
    return secrets.choice(max(unused, key=len))


def spans(table: str) -> list[range]:
    """Of the kernel's table: first inside, first outside, how many."""
    rows = [[int(word) for word in line.split()] for line in table.splitlines()]
    return [range(first, first + count) for first, _, count in rows]


def common(some: list[range], others: list[range]) -> list[range]:
    pairs = [range(max(one.start, other.start), min(one.stop, other.stop)) for one in some for other in others]
    return [pair for pair in pairs if pair]
