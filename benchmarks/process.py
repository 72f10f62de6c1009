"""Calls a function in a fresh interpreter, where nothing is warm and no memory is left over.

The function must be at the top level of a module in this package; its arguments must fit into JSON, or be paths. What
it returns comes back with the peak memory of its process.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    value: Any
    peak_mb: float


def fresh(function: Callable[..., Any], **given: Any) -> Returned:
    """Call `function(**given)` in a new interpreter."""
    name = f"{function.__module__}:{function.__qualname__}"
    command = [sys.executable, "-m", __name__, name, msgspec.json.encode(given, enc_hook=str).decode()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = child.stdout.read()
        # On Linux the child's peak starts at what this process holds; that is little, since it keeps no data.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ChildFailed(f"{name} ended with exit code {child.returncode}")
    return Returned(value=msgspec.json.decode(said), peak_mb=usage.ru_maxrss * _RSS_UNIT / 1e6)


class ChildFailed(Exception):
    """The function raised; its traceback is on stderr."""


def _called(name: str, given: str) -> bytes:
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    return msgspec.json.encode(function(**msgspec.json.decode(given)))


if __name__ == "__main__":
    sys.stdout.buffer.write(_called(*sys.argv[1:]))
