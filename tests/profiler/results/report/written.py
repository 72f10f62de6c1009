"""Writes a report as these tests want it, and reads what stands in the file."""

from __future__ import annotations

import base64
import re
import zlib
from typing import TYPE_CHECKING, Any

from profiler.core.json import loads
from profiler.results.report.privacy import Privacy
from profiler.results.report.write import Written, write_report
from profiler.storage.reading.saved_run import SavedRun

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


BLOCK = re.compile(r'<script type="text/plain" class="(\w+)-block" data-bytes="\d+">(.*?)</script>', re.DOTALL)


def write(path: Path, *runs: Path, room: int = 1000, environ: Mapping[str, str] | None = None, **wish: Any) -> Written:
    privacy = Privacy(environ=environ or {}, **wish)
    return write_report([SavedRun(run) for run in runs], path, privacy=privacy, room=room)


def blocks(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"texts": []}
    for name, packed in BLOCK.findall(path.read_text(encoding="utf-8")):
        value = loads(zlib.decompress(base64.b64decode(packed)))
        if name == "texts":
            found["texts"].append(value)
        else:
            found[name] = value
    return found


def everything(path: Path) -> str:
    """All that somebody who has the file can read in it."""
    text = path.read_text(encoding="utf-8")
    return text + "".join(zlib.decompress(base64.b64decode(packed)).decode() for _, packed in BLOCK.findall(text))
