"""The Files of a server: upload, metadata, list, download and delete, with the provider's limits on sizes."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from profiler.provider.mock_server.admission.calls import Call, ServerReply, json_reply
from profiler.provider.mock_server.clock import written
from profiler.provider.mock_server.history.spool import Spool
from profiler.provider.mock_server.settings import invalid, not_found
from profiler.provider.mock_server.wire.multipart import Part, parts
from profiler.provider.mock_server.wire.paging import page_by_token

if TYPE_CHECKING:
    from profiler.provider.mock_server.settings import ServerSettings

LONGEST_NAME = 255
FORBIDDEN = frozenset('<>:"|?*\\/') | {chr(code) for code in range(32)}
SHORTEST_LIFE_S, LONGEST_LIFE_S = 3600, 7_776_000
MOST_IDS = 100
UNKNOWN_TYPE = "application/octet-stream"


class File(msgspec.Struct, kw_only=True):
    id: str
    name: str
    mime_type: str
    created_at: float
    expires_at: float | None
    downloadable: bool
    data: Spool


class Files:
    """Answers for `/v1/files`. What is uploaded cannot be downloaded; what a tool has made can (see `add`)."""

    def __init__(self, settings: ServerSettings) -> None:
        self._quota = settings.file_storage_bytes
        self.reset()

    def reset(self) -> None:
        self._files: dict[str, File] = {}
        self._made = 0

    def add(
        self,
        data: bytes,
        *,
        name: str,
        mime_type: str | None,
        wall: float,
        life_s: int | None = None,
        downloadable: bool = True,
    ) -> dict[str, Any]:
        """A file as a tool of the provider would have made it, which may be downloaded."""
        if sum(file.data.size for file in self._files.values()) + len(data) > self._quota:
            raise invalid("The organization's file storage quota is exhausted", code="storage_quota_exceeded")
        self._made += 1
        mime_type = mime_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE
        file = File(
            id=f"file_{self._made:024d}",
            name=name or f"unnamed{mimetypes.guess_extension(mime_type) or ''}",
            mime_type=mime_type,
            created_at=wall,
            expires_at=None if life_s is None else wall + life_s,
            downloadable=downloadable,
            data=Spool(),
        )
        file.data.append(data)
        self._files[file.id] = file
        return _shown(file)

    def upload(self, call: Call) -> ServerReply:
        found = {part.name: part for part in parts(call.body, content_type=call.headers.get("content-type", ""))}
        if unknown := found.keys() - {"file", "expires_in_seconds"}:
            raise invalid(f"{min(unknown)[:100]}: Extra inputs are not permitted")
        part = found.get("file")
        if part is None:
            raise invalid("file: Field required")
        shown = self.add(
            part.data,
            name=_name(part),
            mime_type=part.content_type,
            wall=call.wall,
            life_s=_life(found.get("expires_in_seconds")),
            downloadable=False,
        )
        return json_reply(shown)

    def retrieve_metadata(self, call: Call) -> ServerReply:
        return json_reply(_shown(self._find(call)))

    def list(self, call: Call) -> ServerReply:
        query = parse_qs(call.query)
        ids = query.get("ids[]") or query.get("ids")
        if ids is None:
            newest = list(reversed(self._files))
            return json_reply(page_by_token(newest, call.query, show=lambda each: _shown(self._files[each])))
        if "limit" in query or "page" in query:
            raise invalid("ids: cannot be combined with limit or page")
        distinct = dict.fromkeys(ids)
        if len(distinct) > MOST_IDS:
            raise invalid(f"ids: found {len(distinct)} ids, expected at most {MOST_IDS}")
        found = [self._files[each] for each in distinct if each in self._files]
        return json_reply({"data": [_shown(file) for file in found], "next_page": None})

    def download(self, call: Call) -> ServerReply:
        file = self._find(call)
        if not file.downloadable:
            message = f"File {file.id} is not downloadable: only files that a tool has made are"
            raise invalid(message, code="file_not_downloadable")
        if file.expires_at is not None and call.wall >= file.expires_at:
            raise not_found(f"File {file.id} has expired", code="file_expired")
        return ServerReply(chunks=file.data.pieces(), content_type=file.mime_type)

    def delete(self, call: Call) -> ServerReply:
        file = self._find(call)
        del self._files[file.id]
        return json_reply({"id": file.id, "type": "file_deleted"})

    def _find(self, call: Call) -> File:
        file = self._files.get(call.named)
        if file is None:
            raise not_found(f"File not found: {call.named[:100]}")
        return file


def _name(part: Part) -> str:
    """Only the last component of a path counts."""
    name = PurePosixPath((part.filename or "").replace("\\", "/")).name
    if len(name) > LONGEST_NAME or not FORBIDDEN.isdisjoint(name):
        raise invalid(f'file: found a filename that is longer than {LONGEST_NAME} characters or holds one of <>:"|?*')
    return name


def _life(part: Part | None) -> int | None:
    if part is None:
        return None
    text = part.data.decode("ascii", "replace").strip()
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
    if not SHORTEST_LIFE_S <= seconds <= LONGEST_LIFE_S:
        raise invalid(f"expires_in_seconds: expected a number from {SHORTEST_LIFE_S} to {LONGEST_LIFE_S}")
    return seconds


def _shown(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "type": "file",
        "filename": file.name,
        "mime_type": file.mime_type,
        "size_bytes": file.data.size,
        "created_at": written(file.created_at),
        "downloadable": file.downloadable,
        "expires_at": None if file.expires_at is None else written(file.expires_at),
    }
