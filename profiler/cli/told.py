"""How a command ends when it cannot do what was asked: a message, perhaps a hint, and an exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from profiler.core.errors import ProfilerError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable


def told(command: Callable[[Namespace], int]) -> Callable[[Namespace], int]:
    """Turn an expected failure into its message and its exit code."""

    def telling(args: Namespace) -> int:
        try:
            return command(args)
        except ProfilerError as error:
            print(f"error: {error}", file=sys.stderr)
            if error.hint:
                print(f"hint: {error.hint}", file=sys.stderr)
            return error.exit_code

    return telling
