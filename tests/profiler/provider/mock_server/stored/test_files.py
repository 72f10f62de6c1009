"""Files as the official SDK sees them."""

from __future__ import annotations

import io
from typing import Any

import anthropic
import pytest

from profiler.provider.mock_server.server import MockServer
from tests.profiler.provider.mock_server.raw import HEADERS, ask
from tests.profiler.provider.mock_server.stored.batching import serving

DAY_S = 86_400


async def test_what_is_uploaded_is_described_listed_and_deleted() -> None:
    async with serving() as (_, client):
        made = await client.files.upload(file=("notes/report.txt", b"twelve bytes", "text/plain"))
        found = await client.files.retrieve_metadata(made.id)
        listed = [each.id async for each in client.files.list()]
        deleted = await client.files.delete(made.id)
        with pytest.raises(anthropic.NotFoundError):
            await client.files.retrieve_metadata(made.id)

    assert (made.filename, made.mime_type, made.size_bytes, made.downloadable) == (
        "report.txt",
        "text/plain",
        12,
        False,
    )
    assert found == made
    assert listed == [made.id]
    assert deleted.to_dict() == {"id": made.id, "type": "file_deleted"}


async def test_an_upload_cannot_be_downloaded_and_what_a_tool_made_can() -> None:
    data = bytes(range(256)) * 1000
    async with serving() as (server, client):
        mine = await client.beta.files.upload(file=io.BytesIO(b"mine"))
        made = await ask(server, data, path="/__files?filename=chart.png", headers={"content-type": "image/png"})
        with pytest.raises(anthropic.BadRequestError, match="not downloadable") as refused:
            await client.beta.files.download(mine.id)
        got = await (await client.files.download(made.json["id"])).read()

    assert refused.value.body["error"]["details"] == {"error_code": "file_not_downloadable"}  # type: ignore[index]
    assert got == data
    assert (made.json["filename"], made.json["mime_type"], made.json["downloadable"]) == (
        "chart.png",
        "image/png",
        True,
    )


async def test_the_list_has_pages_and_can_be_asked_for_by_id() -> None:
    async with serving() as (_, client):
        made = [(await client.files.upload(file=(f"{number}.txt", b"x"))).id for number in range(5)]
        listed = [each.id async for each in client.files.list(limit=2)]
        chosen = await client.files.list(ids=[made[3], "file_unknown", made[1], made[3]])

    assert listed == made[::-1]
    assert ([each.id for each in chosen.data], chosen.next_page) == ([made[3], made[1]], None)


async def test_a_file_expires_when_it_was_told_to() -> None:
    async with serving() as (server, client):
        made = await client.files.upload(file=("a.txt", b"x"), expires_in_seconds=DAY_S)
        added = server.app.files.add(b"x", name="b", mime_type=None, wall=server.app.clock.wall(), life_s=DAY_S)
        server.app.clock.advance(DAY_S)
        with pytest.raises(anthropic.NotFoundError, match="expired"):
            await client.files.download(added["id"])
        assert (await client.files.retrieve_metadata(made.id)).expires_at == made.expires_at

    assert made.expires_at is not None
    assert (made.expires_at - made.created_at).total_seconds() == DAY_S


async def test_the_storage_is_full_until_something_is_deleted() -> None:
    async with serving(file_storage_bytes=100) as (_, client):
        first = await client.files.upload(file=("a", b"x" * 80))
        with pytest.raises(anthropic.BadRequestError) as refused:
            await client.files.upload(file=("b", b"x" * 80))
        await client.files.delete(first.id)
        await client.files.upload(file=("b", b"x" * 80))

    assert refused.value.body["error"]["details"] == {"error_code": "storage_quota_exceeded"}  # type: ignore[index]


async def test_a_file_may_be_larger_than_a_message_and_has_a_limit_too() -> None:
    async with serving(max_body=1000, max_file_body=100_000) as (_, client):
        assert (await client.files.upload(file=("a", b"x" * 50_000))).size_bytes == 50_000
        with pytest.raises(anthropic.APIStatusError) as refused:
            await client.files.upload(file=("a", b"x" * 200_000))

    assert refused.value.status_code == 413


def form(*parts: str, boundary: str = "b") -> bytes:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts).encode() + f"--{boundary}--\r\n".encode()


FILE = 'content-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "content_type", "complaint"),
    [
        (b"{}", "application/json", "expected multipart/form-data"),
        (form(FILE), "multipart/form-data", "boundary"),
        (b"nothing", "multipart/form-data; boundary=b", "has no part"),
        (form(FILE)[:-10], "multipart/form-data; boundary=b", "in the middle"),
        (form("content-disposition: form-data\r\n\r\nx"), "multipart/form-data; boundary=b", "no name"),
        (
            form('content-disposition: form-data; name="x"\r\n\r\n1'),
            "multipart/form-data; boundary=b",
            "x: Extra inputs",
        ),
        (form(), "multipart/form-data; boundary=b", "file: Field required"),
        (form(FILE.replace("a.txt", "a?.txt")), "multipart/form-data; boundary=b", "filename"),
        (
            form(FILE, 'content-disposition: form-data; name="expires_in_seconds"\r\n\r\n10'),
            "multipart/form-data; boundary=b",
            "expires_in_seconds",
        ),
    ],
)
async def test_a_form_that_is_wrong_is_refused_with_a_word(body: bytes, content_type: str, complaint: str) -> None:
    async with MockServer() as server:
        answer = await ask(server, body, path="/v1/files", headers={**HEADERS, "content-type": content_type})

    assert (answer.status, answer.error[0]) == (400, "invalid_request_error")
    assert complaint in answer.error[1]


@pytest.mark.parametrize(
    ("name", "given", "shown"),
    [
        ("", "application/pdf", "unnamed.pdf"),
        ("C:\\docs\\a.csv", None, "a.csv"),
        ("../../etc/passwd", None, "passwd"),
        ("bericht-für-ü.txt", None, "bericht-für-ü.txt"),
    ],
)
async def test_only_the_last_part_of_a_name_is_kept(name: str, given: str | None, shown: str) -> None:
    disposition = f'content-disposition: form-data; name="file"; filename="{name.replace(chr(92), chr(92) * 2)}"'
    part = "\r\n".join([disposition, *([f"content-type: {given}"] if given else []), "", "x"])
    headers = {**HEADERS, "content-type": "multipart/form-data; boundary=b"}
    async with MockServer() as server:
        answer: Any = await ask(server, form(part), path="/v1/files", headers=headers)

    assert answer.json["filename"] == shown
