"""Whole live runs: against the mock server of the product, and against a server that others wrote."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anthropic import AsyncAnthropic

from profiler.core.nouns import CacheSettings
from profiler.dataset import file
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.manifest.settings import Retry
from profiler.provider.open import open_client
from profiler.provider.requests import Planner, params_of
from tests.profiler.provider.asked_over import ALL_LANES, STREAMS, asking, experiment, request_for
from tests.profiler.provider.loopback import KEY, error, serving
from tests.servers import Server, mock_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.open import Lane

PATIENCE_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with mock_server() as running:
        yield running


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    lines: list[dict[str, Any]] = [{"dialogue_id": f"d{i}", "user": f"question {i}"} for i in range(20)]
    lines.append({"dialogue_id": "turns", "turns": ["one", "two"], "system": "brief"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return KEY


@pytest.mark.usefixtures("key")
async def test_every_lane_writes_the_same_records(server: Server, dialogues: Path, tmp_path: Path) -> None:
    written, fields = {}, {}
    for lane in ALL_LANES:
        asked = experiment(server.base_url, dataset_path=dialogues, system="short", temperature=0.0)
        await run(asked, options=Options(output_dir=tmp_path / lane, mode="live", lane=lane))
        lines = (tmp_path / lane / "e" / "responses.jsonl").read_text().splitlines()
        written[lane] = [said(json.loads(line)) for line in lines]
        fields[lane] = {name for line in lines for name in json.loads(line)}

    assert [record["type"] for record in written["fast"]] == ["answer"] * 21
    assert [("at_s" in fields[lane], "ttft_s" in fields[lane]) for lane in ALL_LANES] == [
        (True, lane in STREAMS) for lane in ALL_LANES
    ]
    assert written["sdk"] == written["fast"]
    assert written["stream"] == written["sdk-stream"] == written["fast"]


OVERLOADED = ("stream-error", "529")  # asked again, for it uses up no attempt
BROKEN = (*OVERLOADED, "half-head", "half-body", "half-reset", "close", "reset", "trickle", "html", "empty", "502")


@pytest.mark.usefixtures("key")
async def test_what_breaks_in_a_stream_makes_the_same_records_over_both_lanes(tmp_path: Path) -> None:
    path, script = tmp_path / "d.jsonl", tmp_path / "script.json"
    path.write_text("".join(json.dumps({"dialogue_id": name, "user": f"say {name}"}) + "\n" for name in BROKEN))
    once = {name: {"times": 1} for name in OVERLOADED}
    script.write_text(json.dumps([{"contains": f"say {name}", "fault": name, **once.get(name, {})} for name in BROKEN]))
    written = {}
    for lane in STREAMS:
        with mock_server("--output-tokens", "60", "--trickle", "0.1", "--script", str(script)) as server:
            asked = experiment(server.base_url, dataset_path=path, retry=Retry(max_attempts=1, deadline_s=20))
            await run(asked, options=Options(output_dir=tmp_path / lane, mode="live", lane=lane))
        lines = (tmp_path / lane / "e" / "responses.jsonl").read_text().splitlines()
        written[lane] = {record["dialogue_id"]: what_broke(record) for record in map(json.loads, lines)}

    assert written["stream"] == written["sdk-stream"]
    assert {name for name, (kind, *_) in written["stream"].items() if kind == "answer"} == {*OVERLOADED, "trickle"}


def what_broke(record: dict[str, Any]) -> tuple[Any, ...]:
    error = record["error"] or {}
    told = error.get("type"), error.get("status")
    return record["type"], record["completion"], record["usage"], record["attempts"], told


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_marked_system_prompt_is_written_to_the_cache_once_and_read_by_all_others(
    server: Server, dialogues: Path, tmp_path: Path, lane: Lane
) -> None:
    system = f"{lane} " + "word " * 4000  # each lane begins with a prompt that nobody has sent yet
    asked = experiment(server.base_url, dataset_path=dialogues, system=system, cache=CacheSettings(), concurrency=1)
    await run(asked, options=Options(output_dir=tmp_path, mode="live", lane=lane, limit=20))
    records = map(json.loads, (tmp_path / "e" / "responses.jsonl").read_text().splitlines())
    first, *others = [record["usage"] for record in records]

    prefix = first["cache_creation_input_tokens"]
    assert prefix > 4096
    assert {(usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) for usage in others} == {
        (0, prefix)
    }


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("lane", STREAMS)
async def test_a_stream_is_timed_as_its_server_takes_its_time(lane: Lane) -> None:
    with mock_server("--ttft", "0.3", "--tokens-per-second", "100", "--output-tokens", "60") as slow:
        async with asking(lane, slow.base_url) as (client, request):
            begun = time.perf_counter()
            reply = await client.complete(request)
            took_s = time.perf_counter() - begun

    assert reply.ttft_s is not None
    assert reply.ttft_s >= 0.3
    assert reply.ttft_s + sum(reply.gaps_s) >= 0.3 + reply.usage["output_tokens"] / 100 - 0.02
    assert took_s >= reply.ttft_s + sum(reply.gaps_s)


@pytest.mark.usefixtures("key")
async def test_thoughts_and_calls_of_an_answer_make_the_same_records_over_every_lane(
    dialogues: Path, tmp_path: Path
) -> None:
    prepared = tmp_path / "responses.json"
    content = [
        {"type": "thinking", "thinking": "Somebody should look."},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "name": "get_weather", "input": {"city": "Oslo"}},
    ]
    prepared.write_text(json.dumps({"look": {"when": {"text": "question"}, "content": content}}))
    written = {}
    with mock_server("--responses", str(prepared)) as server:
        for lane in ALL_LANES:
            asked = experiment(server.base_url, dataset_path=dialogues)
            await run(asked, options=Options(output_dir=tmp_path / lane, mode="live", lane=lane, limit=20))
            lines = (tmp_path / lane / "e" / "responses.jsonl").read_text().splitlines()
            written[lane] = [said(json.loads(line)) for line in lines]

    kinds = {(record["completion"], record["type"], record["stop_reason"]) for record in written["fast"]}
    assert kinds == {("Let me look.", "answer", "tool_use")}
    assert written["fast"][0]["tool_calls"] == [{"name": "get_weather", "input": {"city": "Oslo"}}]
    assert written["sdk"] == written["stream"] == written["sdk-stream"] == written["fast"]


@pytest.mark.usefixtures("key")
async def test_a_batch_of_the_requests_of_a_run_gets_the_answers_that_the_run_has(
    server: Server, dialogues: Path, tmp_path: Path
) -> None:
    asked = experiment(server.base_url, dataset_path=dialogues)
    await run(asked, options=Options(output_dir=tmp_path, mode="live", limit=20))
    records = map(json.loads, (tmp_path / "e" / "responses.jsonl").read_text().splitlines())
    of_run = {each["dialogue_id"]: (each["completion"], each["usage"]["output_tokens"]) for each in records}
    planned = islice(Planner(params_of(asked)).plan(file.read(dialogues)), 20)
    requests: Any = [{"custom_id": each.dialogue.dialogue_id, "params": json.loads(each.body)} for each in planned]
    async with AsyncAnthropic(base_url=server.base_url, api_key=KEY) as client:
        batches = client.messages.batches
        batch = await batches.create(requests=requests)
        counts = (await batches.retrieve(batch.id)).request_counts
        results = {line.custom_id: line.result async for line in await batches.results(batch.id)}
    of_batch = {
        name: (result.message.content[0].text, result.message.usage.output_tokens)
        for name, result in results.items()
        if result.type == "succeeded" and result.message.content[0].type == "text"
    }

    assert counts.succeeded == len(of_run) == 20
    assert of_batch == of_run


MEASURED = frozenset({"latency_s", "queue_s", "at_s", "held_s", "between_s"})
STREAMED = frozenset({"ttft_s", "gap_p50_s", "gap_p95_s", "tokens_per_s"})


def said(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what differs from call to call."""
    for call in record.get("tool_calls", ()):
        assert call.pop("id").startswith("toolu_")
    return {name: value for name, value in record.items() if name not in {*MEASURED, *STREAMED, "request_id"}}


def live_command(url: str, folder: Path, dialogues: Path, *options: str) -> subprocess.CompletedProcess[str]:
    manifest = folder / "manifest.yaml"
    manifest.write_text(
        f"experiment_id: e\nmodel: claude-haiku-4-5\nmax_tokens: 64\ndataset_path: {dialogues.name}\nbase_url: {url}\n"
    )
    command = [sys.executable, "-m", "profiler", "run", "--config", str(manifest), "--output-dir", str(folder / "runs")]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.usefixtures("key")
def test_the_command_asks_live_and_says_where(server: Server, dialogues: Path, tmp_path: Path) -> None:
    done = live_command(server.base_url, tmp_path, dialogues)

    assert done.returncode == 0, done.stderr
    assert "MODE: LIVE" in done.stderr
    assert f"e: asking {server.base_url}, fast lane" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("key")
async def test_the_key_is_in_no_file_and_no_line_of_a_run_that_was_refused(dialogues: Path, tmp_path: Path) -> None:
    import anyio.to_thread  # noqa: PLC0415 (the command runs beside the server of this loop)

    async with serving(lambda asked: error(400, message=f"no: {asked.headers['authorization']}")) as refusing:
        done = await anyio.to_thread.run_sync(live_command, refusing.url, tmp_path, dialogues)

    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert "[redacted]" in (tmp_path / "runs" / "e" / "responses.jsonl").read_text()
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in done.stdout + done.stderr


@contextmanager
def foreign(program: str, *words: str, port: int) -> Iterator[str]:
    """A server that others wrote, where somebody has installed it."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not on PATH: {HOW_TO_INSTALL[program]}")
    quiet = subprocess.DEVNULL
    with subprocess.Popen([path, *words], stdout=quiet, stderr=quiet) as process:
        try:
            wait_for(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # one of them serves from children, which it ends on Ctrl-C only


HOW_TO_INSTALL = {
    "mock-ai-api": "install it from PyPI into an environment of its own",
    "llmock": "it comes with the npm package @copilotkit/aimock",
}


@pytest.fixture(params=HOW_TO_INSTALL)
def foreign_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    words = {
        "mock-ai-api": ["--openai-port", str(free_port()), "--anthropic-port", str(port)],
        "llmock": ["--port", str(port), "--fixtures", str(fixtures(tmp_path))],
    }
    with foreign(request.param, *words[request.param], port=port) as url:
        yield url


def fixtures(folder: Path) -> Path:
    """What llmock answers: the first that fits."""
    usage = {"usage": {"input_tokens": 5, "output_tokens": 7}}
    told = [
        {"match": {"userMessage": "question 1"}, "response": {"content": "cut", "finishReason": "length", **usage}},
        {"match": {}, "response": {"content": "Paris, as far as I know.", **usage}},
    ]
    path = folder / "fixtures.json"
    path.write_text(json.dumps({"fixtures": told}))
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """It does not say when it listens; connecting tells."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nobody listens on port {port}")


@pytest.mark.parametrize("lane", ALL_LANES)
async def test_a_server_that_we_did_not_write_is_understood(lane: Lane, foreign_url: str) -> None:
    asked = experiment(foreign_url)
    async with open_client(asked, mode="live", lane=lane, environ={"ANTHROPIC_API_KEY": KEY}) as client:
        reply = await client.complete(request_for(asked))

    assert reply.completion
    assert (reply.stop_reason, reply.model) == ("end_turn", "claude-haiku-4-5")
    assert reply.usage["output_tokens"] > 0


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("lane", ALL_LANES)
@pytest.mark.parametrize("chaos", ["drop", "malformed", "disconnect", "ratelimit"])
async def test_the_chaos_of_a_server_that_we_did_not_write_is_survived(
    lane: Lane, chaos: str, dialogues: Path, tmp_path: Path
) -> None:
    """Errors 500, replies that are no JSON, connections that end, and 429 with a second to wait."""
    port = free_port()
    words = ["--port", str(port), "--fixtures", str(fixtures(tmp_path)), f"--chaos-{chaos}", "0.1"]
    with foreign("llmock", *words, port=port) as url:
        asked = experiment(url, dataset_path=dialogues, retry=Retry(max_attempts=12))
        await run(asked, options=Options(output_dir=tmp_path, mode="live", lane=lane))

    records = [json.loads(line) for line in (tmp_path / "e" / "responses.jsonl").read_text().splitlines()]
    cut = {record["dialogue_id"] for record in records if record["type"] == "truncated"}
    assert {record["type"] for record in records} == {"answer", "truncated"}
    assert cut == {"d1", *(f"d{number}" for number in range(10, 20))}
