"""What people type: curl, and wrk where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from profiler.core.json import dumps
from profiler.provider.mock_server.server import MockServer
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 60
HEADER_OPTIONS = [word for name, value in HEADERS.items() for word in ("--header", f"{name}: {value}")]
MESSAGE = [*HEADER_OPTIONS, "--data", json.dumps(ASKED)]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)")


@pytest.fixture
def server() -> Iterator[MockServer]:
    with MockServer() as running:
        yield running


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


def curl(*options: str) -> str:
    return said("curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", *options)


@needs_curl
def test_curl_gets_a_message(server: MockServer) -> None:
    message = json.loads(curl(f"{server.base_url}/v1/messages", *MESSAGE))

    assert message["content"][0]["text"] == "You asked: Why is the sea salty?"


@needs_curl
def test_curl_gets_a_stream_as_it_comes(server: MockServer) -> None:
    body = json.dumps(ASKED | {"stream": True})
    lines = curl("--no-buffer", f"{server.base_url}/v1/messages", *HEADER_OPTIONS, "--data", body).splitlines()

    assert (lines[0], lines[-2]) == ("event: message_start", 'data: {"type":"message_stop"}')
    assert all(line.startswith(("event: ", "data: {")) for line in lines if line)


@needs_curl
def test_curl_keeps_its_connection(server: MockServer) -> None:
    url = f"{server.base_url}/v1/messages"
    told = ["--output", "-", "--write-out", "\n%{http_code} %{num_connects}\n"]
    both = curl(*told, url, *MESSAGE, "--next", "--silent", *told, url, *MESSAGE)

    assert re.findall(r"^\d+ \d$", both, flags=re.MULTILINE) == ["200 1", "200 0"]


@needs_curl
def test_curl_waits_to_be_told_to_send_a_large_body(server: MockServer, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(dumps(ASKED | {"model": "claude-opus-5", "system": "word " * 500_000}))
    sent = curl(
        *HEADER_OPTIONS,
        "--header",
        "Expect: 100-continue",
        "--data-binary",
        f"@{file}",
        f"{server.base_url}/v1/messages",
    )

    assert json.loads(sent)["usage"]["input_tokens"] > 600_000


@needs_curl
def test_curl_uploads_a_file_and_downloads_one(server: MockServer, tmp_path: Path) -> None:
    file = tmp_path / "tides.csv"
    file.write_text("hour,height\n")
    files = f"{server.base_url}/v1/files"
    made = server.add_file("made.csv", b"hour,height\n0,3\n")
    fields = [word for name in ("x-api-key", "anthropic-version") for word in ("--header", f"{name}: {HEADERS[name]}")]

    assert json.loads(curl(*fields, "--form", f"file=@{file};type=text/csv", files))["filename"] == "tides.csv"
    assert curl(*fields, f"{files}/{made}/content") == "hour,height\n0,3\n"


@needs_curl
def test_curl_reads_an_error_and_the_journal(server: MockServer) -> None:
    refused = subprocess.run(
        ["curl", "--silent", "--noproxy", "*", f"{server.base_url}/v1/messages", "--data", "{}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    (line,) = curl(f"{server.base_url}/__requests").splitlines()

    assert json.loads(refused.stdout)["error"]["type"] == "authentication_error"
    assert (json.loads(line)["status"], json.loads(line)["body"]) == (401, {})


@needs_wrk
def test_every_request_of_wrk_is_answered_and_counted(server: MockServer, tmp_path: Path) -> None:
    script = tmp_path / "post.lua"
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in HEADERS.items())
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [==[{json.dumps(ASKED)}]==]\n{headers}\n")
    report = said(
        "wrk", "-t", "1", "-c", "8", "-d", "1s", "--timeout", "60s", "-s", str(script), f"{server.base_url}/v1/messages"
    )
    counted = re.search(r"(\d+) requests in", report)

    assert counted is not None, report
    assert "Non-2xx" not in report
    assert "Socket errors" not in report
    asked = server.stats["requests"]["total"]
    assert 0 < int(counted[1]) <= asked <= int(counted[1]) + 8  # those in flight at the end are not in its report
    assert set(server.stats["replies"]["by_status"]) == {"200"}
