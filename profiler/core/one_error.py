"""Task groups raise a group of errors, people want one: the reason why a run ended."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from profiler.core.errors import BudgetReached, ProfilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def one_error(*, capped: Callable[[BudgetReached], None] = lambda _: None) -> Iterator[None]:
    """Raise the one reason for the end of a run instead of the group that task groups raise.

    `capped` is told of a run that was stopped by its cap.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        first = _first(group)
        if isinstance(first, BudgetReached):
            capped(first)
        raise first from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The reason among several errors: a bug comes before its consequences, then the first that the user can act on."""
    leaves = list(_leaves(group))
    bugs = [error for error in leaves if not isinstance(error, ProfilerError)]
    return (bugs or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error
