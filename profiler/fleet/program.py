"""A program that runs as a worker, and how it is spoken to.

It is a module that hears commands on stdin and says reports on stdout, a line each, and ends when its stdin does. Everything
else that it says goes to stderr, its log. Drivers run any such program, on this machine or on others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Told = TypeVar("Told")
Heard = TypeVar("Heard")


class Program(NamedTuple, Generic[Told, Heard]):
    """A program that workers run. `line_of` writes a command as a line, `report_of` reads a report from one."""

    module: str
    line_of: Callable[[Told], bytes]
    report_of: Callable[[bytes], Heard]


def speaks_lines(module: str) -> Program[bytes, bytes]:
    """The same program, for whoever only passes on what is said."""
    return Program(module, lambda command: command, lambda line: line)
