"""What clients really sent and what they got: the lines behind `GET /__requests`.

A bounded part of it stays, the newest; credentials never get here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps, loads
from profiler.provider.mock_server.clock import written
from profiler.provider.mock_server.endpoints import check_selector, covers
from profiler.provider.mock_server.history.spool import Spool
from profiler.provider.mock_server.settings import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.mock_server.wire.http import Head

LONGEST_BODY = 64 << 10  # of each body so much is kept
FLUSH_AT = 64 << 10
CREDENTIALS = frozenset({"authorization", "x-api-key", "proxy-authorization", "cookie", "x-amz-security-token"})
NOT_KEPT = "[not kept]"
_TOKEN_IN_BODY = re.compile(rb'("authorization_token"\s*:\s*)"(?:[^"\\]|\\.)*"?')
FILTERS = ("endpoint", "method", "path", "model", "status", "fault", "contains", "since", "tail")


class Entry(msgspec.Struct, kw_only=True):
    """One request. `status` is null while it is under way, and 0 if no reply with a status was sent."""

    n: int
    at: float  # the date, by the clock that can be moved
    began: float  # by the one that cannot
    request_id: str
    endpoint: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    body_bytes: int
    status: int | None = None
    fault: str | None = None
    whole: bool | None = None
    took_s: float | None = None


def entry_of(head: Head, body: bytes, *, n: int, at: float, began: float, request_id: str, endpoint: str) -> Entry:
    kept = body[:LONGEST_BODY]
    if b"authorization_token" in kept:
        kept = _TOKEN_IN_BODY.sub(rb'\1"%b"' % NOT_KEPT.encode(), kept)
    headers = head.headers
    if not CREDENTIALS.isdisjoint(headers):
        headers = {name: NOT_KEPT if name in CREDENTIALS else value for name, value in headers.items()}
    return Entry(
        n=n,
        at=at,
        began=began,
        request_id=request_id,
        endpoint=endpoint,
        method=head.method,
        path=head.path,
        query=head.query,
        headers=headers,
        body=kept,
        body_bytes=len(body),
    )


class Journal:
    """Keeps the newest requests within `limit` bytes; 0 keeps none."""

    def __init__(self, *, limit: int) -> None:
        self._half = limit // 2  # two halves, so that the older one can be dropped whole
        self.reset()

    def __bool__(self) -> bool:
        return self._half > 0

    def reset(self) -> None:
        self._old, self._new = Spool(), Spool()
        self._counts = [0, 0]
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._open: dict[int, Entry] = {}
        self.dropped = 0

    def begin(self, entry: Entry) -> None:
        self._open[entry.n] = entry

    def end(self, entry: Entry, *, now: float) -> None:
        if self._open.pop(entry.n, None) is None:
            return  # the journal was emptied while this request was under way
        entry.took_s = round(now - entry.began, 6)
        record = _encoder.encode(entry)
        self._waiting.append(b"%d\n%b" % (len(record), record))
        self._waiting_bytes += len(record)
        if self._waiting_bytes >= FLUSH_AT:
            self._flush()

    def lines(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The requests that the filters let through, oldest first, those under way too."""
        wanted = _Filter(query)
        self._flush()
        found = [entry for entry in (*self._kept(), *self._open.values()) if wanted.takes(entry)]
        found.sort(key=lambda entry: entry.n)
        return map(_shown, found[-wanted.tail :] if wanted.tail else found)

    def _flush(self) -> None:
        data, count = b"".join(self._waiting), len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._new.size and self._new.size + len(data) > self._half:
            self.dropped += self._counts[0]
            self._old, self._new = self._new, Spool()
            self._counts = [self._counts[1], 0]
        try:
            self._new.append(data)
            self._counts[1] += count
        except OSError:  # a full disk must not keep anybody from being answered
            self.dropped += count

    def _kept(self) -> Iterator[Entry]:
        for spool in (self._old, self._new):
            yield from map(_decoder.decode, _records(spool))


def _records(spool: Spool) -> Iterator[bytes]:
    data, at = spool.read(0, spool.size), 0
    while (end := data.find(b"\n", at)) >= 0:
        size = int(data[at:end])
        at = end + 1 + size
        yield data[end + 1 : at]


class _Filter:
    def __init__(self, query: Mapping[str, str]) -> None:
        if unknown := set(query) - set(FILTERS):
            raise invalid(f"{min(unknown)[:40]}: is no filter, expected {', '.join(FILTERS)}")
        self._exact = {name: query[name] for name in ("method", "fault") if name in query}
        self._endpoint = query.get("endpoint")
        selected = self._endpoint or "other"
        if selected != "other" and (complaint := check_selector(selected)) is not None:
            raise invalid(f"endpoint: {complaint}")
        self._path, self._model = query.get("path"), query.get("model")
        self._contains = query.get("contains", "").encode()
        self._status = _number(query, "status")
        self._since = _number(query, "since") or 0
        self.tail = _number(query, "tail")

    def takes(self, entry: Entry) -> bool:
        return (
            entry.n > self._since
            and (self._endpoint is None or covers(self._endpoint, entry.endpoint))
            and all(getattr(entry, name) == value for name, value in self._exact.items())
            and (self._path is None or fnmatchcase(entry.path, self._path))
            and self._status in (None, entry.status)
            and self._contains in entry.body
            and (self._model is None or fnmatchcase(_model(entry), self._model))
        )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise invalid(f"{name}: found {text[:40]!r}, expected a whole number")
    return int(text)


def _model(entry: Entry) -> str:
    body = _said(entry.body)
    return str(body.get("model", "")) if isinstance(body, dict) else ""


def _said(body: bytes) -> Any:
    """A body as JSON if it is JSON, else as text."""
    if not body:
        return None
    try:
        return loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")


def _shown(entry: Entry) -> dict[str, Any]:
    shown = msgspec.structs.asdict(entry)
    shown["at"] = written(entry.at)
    shown["headers"] = dict(entry.headers)
    shown["body"] = _said(entry.body)
    shown["body_cut"] = entry.body_bytes > LONGEST_BODY
    del shown["began"]
    return shown


def as_lines(found: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(dumps(line) + b"\n" for line in found)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)
