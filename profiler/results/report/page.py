"""The HTML file: the template with style and script inside, and the data as compressed blocks between them.

Everything that comes from a run is in the blocks, so that no text of a model can ever be markup.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from contextlib import contextmanager, suppress
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import StorageError
from profiler.core.json import dump_leniently, dumps
from profiler.results.report.packing import as_characters
from profiler.storage.whole_file import draft_of, replace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import IO, Self

LEVEL: Final = 6  # 9 takes three times as long and saves one part in five hundred
SCRIPT: Final = (
    *("elements", "unpacking", "fields", "looking", "table", "dialogue", "charts", "metrics", "comparison", "sections"),
    "controls",
)
UTF_16: Final = "utf-16-le"


class Page:
    """Writes the file from front to back; blocks may be added while it is open. It gets its name when it is whole."""

    def __init__(self, path: Path, *, title: str, dense: bool) -> None:
        """`dense`: two bytes a character, for much data; else UTF-8, which more programs can search and show."""
        self._path = path
        self._dense = dense
        self._draft = draft_of(path)
        here = files(__package__)
        template, style = (here.joinpath(f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
        script = "\n".join(here.joinpath("script", f"{name}.js").read_text(encoding="utf-8") for name in SCRIPT)
        head, self._tail = template.split("{{blocks}}")
        self._tail = self._tail.replace("{{script}}", script)
        self._head = (
            head.replace("{{title}}", escape(title))
            .replace("{{policy}}", policy(style, script))
            .replace("{{style}}", style)
        )
        self._file: IO[bytes]

    def __enter__(self) -> Self:
        with self._refusing():
            self._file = self._draft.open("wb")
        try:
            self._text(("\ufeff" if self._dense else "") + self._head)  # no header of a server overrules that mark
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._text(self._tail)
                with self._refusing():
                    self._file.flush()
                    os.fsync(self._file.fileno())
                    self._file.close()
                    replace(self._draft, self._path)
        finally:
            self._drop()

    def _drop(self) -> None:
        """Take away what has not got its name."""
        with suppress(OSError):  # what could not be written cannot be written now either
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def packed(self, name: str, content: bytes) -> None:
        """A block of JSON, which the script unpacks when it is needed."""
        small = zlib.compress(content, LEVEL)
        text = as_characters(small) if self._dense else base64.b64encode(small).decode()
        self._text(f'<script type="text/plain" class="{name}-block" data-bytes="{len(small)}">{text}</script>\n')

    def _text(self, text: str) -> None:
        with self._refusing():
            self._file.write(text.encode(UTF_16 if self._dense else "utf-8"))

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say which file the disk did not take."""
        try:
            yield
        except OSError as error:
            raise StorageError(self._path, error, answers=False) from error


def json_of(value: Any) -> bytes:
    try:
        return dumps(value)
    except TypeError:
        return dump_leniently(value)


def policy(style: str, script: str) -> str:
    """Only this style and this script, and nothing from anywhere else."""
    allowed = {"style": style, "script": script}
    hashes = {name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in allowed.items()}
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "base-uri 'none'; form-action 'none'"
    )
