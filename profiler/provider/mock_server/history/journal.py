"""What clients really sent and what they got: the lines behind `GET /__requests`.

A bounded part of it stays, the newest; credentials never get here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.json import dumps, loads
from profiler.provider.mock_server.clock import written
from profiler.provider.mock_server.endpoints import check_selector, covers
from profiler.provider.mock_server.history.spool import Spool
from profiler.provider.mock_server.settings import invalid
from profiler.provider.mock_server.wire.request_parser import HEADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.mock_server.wire.request_parser import Head

LONGEST_BODY = 64 << 10  # of each body so much is kept
FLUSH_AT = 64 << 10
ENTRY_BYTES = 400  # about what an entry takes besides its body
CREDENTIALS = frozenset(
    {
        *("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token"),
        *("proxy-authorization", "cookie"),
    }
)
NOT_KEPT = "[not kept]"
_TOKEN_IN_BODY = re.compile(rb'("authorization_token"\s*:\s*)"(?:[^"\\]|\\.)*"?')
FILTERS = ("endpoint", "method", "path", "model", "status", "fault", "contains", "since", "tail")


def request_id_of(n: int) -> str:
    """The n-th request of a server always has the same id."""
    return f"req_{n:024d}"


class Entry(msgspec.Struct, array_like=True, kw_only=True, gc=False):
    """One request. `status` is null while it is under way, and 0 if no reply with a status was sent."""

    n: int
    at: float  # the date, by the clock that can be moved
    began: float  # by the one that cannot
    endpoint: str
    head: bytes  # as `kept_head` wrote it, and nobody reads it before somebody asks for the journal
    body: bytes
    body_bytes: int
    status: int | None = None
    fault: str | None = None
    whole: bool | None = None
    took_s: float | None = None


class KeptHead(msgspec.Struct, frozen=True):
    """What stays of a head."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@lru_cache(maxsize=HEADS)
def kept_head(head: Head) -> bytes:
    """A head without its credentials, ready to be stored."""
    headers = {name: NOT_KEPT if name in CREDENTIALS else value for name, value in head.headers.items()}
    return _encoder.encode(KeptHead(head.method, head.path, head.query, headers))


def kept_body(body: bytes) -> bytes:
    """The beginning of a body, without the credentials that may stand in it."""
    kept = body[:LONGEST_BODY]
    if b"authorization_token" in kept:
        kept = _TOKEN_IN_BODY.sub(rb'\1"%b"' % NOT_KEPT.encode(), kept)
    return kept


class Journal:
    """Keeps the newest requests within `limit` bytes; 0 keeps none."""

    def __init__(self, *, limit: int) -> None:
        self._half = limit // 2  # two halves, so that the older one can be dropped whole
        self._flush_at = min(FLUSH_AT, self._half)
        self.reset()

    def __bool__(self) -> bool:
        return self._half > 0

    def reset(self) -> None:
        self._old, self._new = Spool(), Spool()
        self._counts = [0, 0]
        self._waiting: list[Entry] = []  # written in batches, which costs each of them half as much
        self._waiting_bytes = 0
        self._open: dict[int, Entry] = {}
        self.dropped = 0

    def begin(self, entry: Entry) -> None:
        self._open[entry.n] = entry

    def end(self, entry: Entry, *, now: float) -> None:
        if self._open.pop(entry.n, None) is None:
            return  # the journal was emptied while this request was under way
        entry.took_s = now - entry.began
        self._waiting.append(entry)
        self._waiting_bytes += ENTRY_BYTES + len(entry.body)
        if self._waiting_bytes >= self._flush_at:
            self._flush()

    def lines(self, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The requests that the filters let through, oldest first, those under way too."""
        wanted = _Filter(query)
        self._flush()
        found = [entry for entry in (*self._kept(), *self._open.values()) if wanted.takes(entry)]
        found.sort(key=lambda entry: entry.n)
        return map(_shown, found[-wanted.tail :] if wanted.tail else found)

    def _flush(self) -> None:
        count = len(self._waiting)
        if not count:
            return
        record = _encoder.encode(self._waiting)
        data = b"%d\n%b" % (len(record), record)
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
            for batch in _records(spool):
                yield from _decoder.decode(batch)


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
        self._method, self._fault = query.get("method"), query.get("fault")
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
            and self._fault in (None, entry.fault)
            and (self._method is self._path is None or self._takes_head(_head_decoder.decode(entry.head)))
            and self._status in (None, entry.status)
            and self._contains in entry.body
            and (self._model is None or fnmatchcase(_model(entry), self._model))
        )

    def _takes_head(self, head: KeptHead) -> bool:
        return self._method in (None, head.method) and (self._path is None or fnmatchcase(head.path, self._path))


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
    return {
        "n": entry.n,
        "at": written(entry.at),
        "request_id": request_id_of(entry.n),
        "endpoint": entry.endpoint,
        **msgspec.structs.asdict(_head_decoder.decode(entry.head)),
        "body": _said(entry.body),
        "body_bytes": entry.body_bytes,
        "status": entry.status,
        "fault": entry.fault,
        "whole": entry.whole,
        "took_s": None if entry.took_s is None else round(entry.took_s, 6),
        "body_cut": entry.body_bytes > LONGEST_BODY,
    }


def as_lines(found: Iterator[dict[str, Any]]) -> bytes:
    return b"".join(dumps(line) + b"\n" for line in found)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])
_head_decoder = msgspec.msgpack.Decoder(KeptHead)
