"""Prints results to stdout and everything else to stderr."""

from __future__ import annotations

import sys
from typing import Any

from profiler.core.json import dump_pretty


def print_json(value: Any) -> None:
    sys.stdout.write(dump_pretty(value).decode())


def remark(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
