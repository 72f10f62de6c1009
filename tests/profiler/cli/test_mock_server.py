"""`profiler mock-server` as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from profiler.cli.main import main
from tests.profiler.provider.mock_server.raw import ASKED, HEADERS
from tests.servers import mock_server

ROOT = Path(__file__).resolve().parents[3]


def posted(base_url: str) -> int:
    request = urllib.request.Request(f"{base_url}/v1/messages", json.dumps(ASKED).encode(), HEADERS)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as reply:
        status: int = reply.status
        return status


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_stops_it_with_a_last_look_at_the_counters(signum: signal.Signals, code: int) -> None:
    with mock_server() as server:
        assert posted(server.base_url) == 200
        server.process.send_signal(signum)
        out, err = server.process.communicate(timeout=60)

    assert (server.process.returncode, out) == (code, "")
    export, *_, last = err.splitlines()
    assert export == f"export ANTHROPIC_BASE_URL={server.base_url} ANTHROPIC_API_KEY=mock"
    assert json.loads(last.removeprefix("stopped; "))["requests"]["total"] == 1


def test_one_line_on_stdout_says_where_it_listens() -> None:
    command = [sys.executable, "-m", "profiler", "mock-server", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)

    assert re.fullmatch(r"mock-server listening on http://127\.0\.0\.1:\d+\n", first)
    assert rest == ""


def test_a_program_can_read_where_it_listens_and_that_nobody_stopped_it() -> None:
    command = [sys.executable, "-m", "profiler", "mock-server", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

    assert told == {
        "base_url": f"http://127.0.0.1:{told['port']}",
        "host": "127.0.0.1",
        "port": told["port"],
        "pid": process.pid,
    }


def test_the_helper_for_other_tests_counts_and_resets() -> None:
    with mock_server("--fault", "trickle=1", "--trickle", "0") as server:
        posted(server.base_url)

        assert server.stats()["faults"] == {"trickle": 1}
        assert server.reset()["requests"]["total"] == 1
        assert server.stats()["requests"]["total"] == 0


def test_a_reset_is_a_reset_in_whatever_event_loop_it_runs() -> None:
    with mock_server("--fault", "reset=1") as server, pytest.raises(ConnectionResetError):
        posted(server.base_url)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--fault", "430=0.1"], "did you mean '413'"),
        (["--fault", "429@batch=0.1"], "did you mean 'batches'"),
        (["--limit", "batch:requests=1"], "did you mean 'batches'"),
        (["--fault", "429=0.7", "--fault", "500=0.7"], "at most 1"),
        (["--script", "nowhere.json"], "cannot read"),
        (["--responses", "nowhere.json"], "cannot read"),
        (["--dataset", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_served_is_refused_before_it_listens(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mock-server", "--port", "0", *options]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err


@pytest.mark.parametrize(
    "options",
    [
        *(["--port", "65536"], ["--port", "-1"], ["--port", "x"], ["--fault", "429"], ["--fault", "429=2"]),
        *(["--latency", "-1"], ["--latency", "nan"], ["--burst", "0"], ["--requests-per-minute", "0"]),
        *(
            ["--limit", "batches"],
            ["--limit", "batches:calls=1"],
            ["--limit", "batches:requests=0"],
            ["--journal", "-1"],
        ),
    ],
)
def test_numbers_out_of_their_range_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["mock-server", *options])

    assert caught.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_every_option_reaches_the_server(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('["ok"]')
    options = (
        "--seed 3 --latency 0.001 --latency-sigma 0.1 --stall-rate 0.1 --stall 0.01 --burst 30 --concurrency-limit 5 "
        "--requests-per-minute 9 --input-tokens-per-minute 900 --output-tokens-per-minute 800 --key mock "
        "--dataset data/dialogues.json --responses data/mock_responses.json --script"
    )
    with mock_server(*options.split(), str(script)) as server:
        request = urllib.request.Request(f"{server.base_url}/v1/messages", json.dumps(ASKED).encode(), HEADERS)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
            told = {name: value for name, value in reply.headers.items() if name.endswith("-limit")}

    assert {name.removeprefix("anthropic-ratelimit-"): value for name, value in told.items()} == {
        "requests-limit": "9",
        "input-tokens-limit": "900",
        "output-tokens-limit": "800",
        "tokens-limit": "1700",
    }


def test_the_options_for_batches_limits_pages_and_memory_reach_the_server() -> None:
    options = (
        "--limit batches:requests=7 --limit messages@each:requests=5,input-tokens=600 --limit count_tokens@claude-o*:requests=3 "
        "--batch-time 60 --batch-sigma 0.1 --batch-cancel-time 5 --batch-queue 1 --journal 0 --remember 10 --gzip "
        "--cors http://localhost:3000 --fault 500@files=1"
    )
    batch = {"requests": [{"custom_id": str(number), "params": ASKED} for number in range(2)]}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def got(path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        data = body if body is None else json.dumps(body).encode()
        try:
            reply = opener.open(urllib.request.Request(server.base_url + path, data, HEADERS | headers), timeout=60)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            return reply.status, reply.headers, reply.read()

    with mock_server(*options.split()) as server:
        rules = json.loads(got("/__limits")[2])["rules"]
        too_many, told, _ = got("/v1/messages/batches", batch)
        broken, _, _ = got("/v1/files")
        fine, headers, _ = got("/v1/messages", ASKED, **{"accept-encoding": "gzip", "origin": "http://localhost:3000"})
        _, _, journal = got("/__requests")

    shown = [(rule["endpoint"], rule["model"], rule["each_model"], rule["requests_per_minute"]) for rule in rules]
    assert shown == [("batches", None, False, 7), ("messages", None, True, 5), ("count_tokens", "claude-o*", False, 3)]
    assert (too_many, told["anthropic-ratelimit-requests-limit"]) == (429, "7")
    assert (broken, fine, journal) == (500, 200, b"")
    assert headers["content-encoding"] == "gzip"
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
