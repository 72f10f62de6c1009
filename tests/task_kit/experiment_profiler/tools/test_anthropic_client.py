from __future__ import annotations

import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from profiler.provider.reply_type import TRUNCATING, classify
from tests.servers import Server, mock_server
from tests.task_kit.staging import TASK, python
from tools.anthropic_client import ClientError, LiveClient, SimulatedClient
from tools.dataset import Sample, read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).resolve().parents[4] / "data"
ANSWERS = DATA / "mock_responses.json"
SAMPLES = read_samples(DATA / "dialogues.json")
PREPARED = json.loads(ANSWERS.read_bytes())
KNOWN = {"type", "stop_reason", "usage", "latency_s", "model"}
KEY = "a-key-of-this-test"


def prepared(folder: Path, **answer: Any) -> SimulatedClient:
    """A simulator with one answer, to dialogue `a`."""
    (folder / "answers.json").write_text(json.dumps({"a": answer}), encoding="utf-8")
    return SimulatedClient(folder / "answers.json", model="m")


def asked(**changed: Any) -> Sample:
    return Sample(**{"dialogue_id": "a", "system": "sys", "user": "why", **changed})


# --- simulated ------------------------------------------------------------------------------------------------------


def test_the_simulator_gives_the_prepared_answers() -> None:
    client = SimulatedClient(ANSWERS, model="m")

    for sample in SAMPLES:
        entry, answer = PREPARED[sample.dialogue_id], client.complete(sample)
        assert answer.completion == entry["completion"]
        assert answer.metadata == {
            "type": entry["metadata"]["type"],
            "stop_reason": entry["stop_reason"],
            "usage": entry["usage"],
            "latency_s": 0.0,
            "model": "m",
        }


def test_what_an_entry_leaves_out_is_made_up_the_same_every_time(tmp_path: Path) -> None:
    client = prepared(tmp_path, completion="five!")

    assert client.complete(asked()) == client.complete(asked())
    assert client.complete(asked()).metadata == {
        "type": "answer",
        "stop_reason": "end_turn",
        "latency_s": 0.0,
        "model": "m",
        "usage": {"input_tokens": 2, "output_tokens": 2},
    }


@pytest.mark.parametrize(
    "completion",
    [
        "The moon.",
        "I can't help with that.",
        "I’m sorry, but I cannot assist with this.",
        "Sorry, I am unable to provide that.",
        "I can't recommend it enough.",
        "I cannot overstate this.",
        "",
    ],
)
def test_its_types_are_those_of_the_engine(tmp_path: Path, completion: str) -> None:
    ways = itertools.product(
        ["end_turn", "stop_sequence", "refusal", *TRUNCATING],
        [{}, *({"type": told} for told in ("answer", "refusal", "truncated"))],
    )
    for stop_reason, metadata in ways:
        client = prepared(tmp_path, completion=completion, stop_reason=stop_reason, metadata=metadata)
        found = client.complete(asked()).metadata["type"]
        assert found == classify(completion, stop_reason, metadata), (stop_reason, metadata)


def test_a_dialogue_without_an_answer_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"answers\.json: found no answer to dialogue 'b'"):
        prepared(tmp_path, completion="x").complete(asked(dialogue_id="b"))


@pytest.mark.parametrize(
    "content", ["[]", '{"a": "text"}', '{"a": {"completion": null}}', '{"a": {"completion": "", "metadata": 1}}', "{"]
)
def test_what_are_no_answers_is_an_error_with_its_path(tmp_path: Path, content: str) -> None:
    (tmp_path / "answers.json").write_text(content)

    with pytest.raises(ClientError, match=r"answers\.json: found "):
        SimulatedClient(tmp_path / "answers.json")


def test_many_threads_may_ask_at_once() -> None:
    client = SimulatedClient(ANSWERS)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(client.complete, SAMPLES * 100))

    assert [answer.completion for answer in answers] == [PREPARED[s.dialogue_id]["completion"] for s in SAMPLES] * 100


# --- live, over a real server on loopback ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = ("--responses", str(ANSWERS), "--dataset", str(DATA / "dialogues.json"), "--key", KEY)
    with mock_server(*options) as started:
        yield started


@pytest.fixture
def live(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveClient]:
    server.reset()
    with asking(server.base_url, monkeypatch) as client:
        yield client


@contextmanager
def asking(base_url: str, monkeypatch: pytest.MonkeyPatch, *, key: str = KEY) -> Iterator[LiveClient]:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", key)
    with closing(LiveClient(model="claude-haiku-4-5", max_tokens=256, temperature=0.5)) as client:
        yield client


def test_a_live_answer_looks_like_a_simulated_one(live: LiveClient) -> None:
    """The server refuses a temperature unless the API version that takes one is named."""
    for sample in SAMPLES:
        answer, simulated = live.complete(sample), SimulatedClient(ANSWERS).complete(sample)
        assert answer.completion == simulated.completion
        assert answer.metadata.keys() == simulated.metadata.keys() == KNOWN
        assert answer.metadata["type"] == simulated.metadata["type"]
        assert answer.metadata["usage"] == simulated.metadata["usage"]
        assert answer.metadata["latency_s"] > 0
        assert answer.metadata["model"] == "claude-haiku-4-5"


def test_many_threads_may_ask_one_live_client(live: LiveClient, server: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(live.complete, SAMPLES * 4))

    assert [answer.completion for answer in answers] == [PREPARED[s.dialogue_id]["completion"] for s in SAMPLES] * 4
    assert server.stats()["requests"]["total"] == len(SAMPLES) * 4


def test_the_prompt_the_limit_and_the_temperature_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    arguments = LiveClient(model="m", max_tokens=7, temperature=0.25)._arguments(asked())

    assert arguments == {
        "model": "m",
        "max_tokens": 7,
        "system": "sys",
        "messages": [{"role": "user", "content": "why"}],
        "extra_body": {"temperature": 0.25},
        "extra_headers": {"anthropic-version": "2023-06-01"},
    }


def test_a_wrong_key_is_an_error_that_does_not_tell_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        asking(server.base_url, monkeypatch, key="key-of-somebody") as client,
        pytest.raises(ClientError, match="'tide_clock': AuthenticationError") as caught,
    ):
        client.complete(SAMPLES[0])

    assert "key-of-somebody" not in str(caught.value)


def test_a_failed_call_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with mock_server("--fault", "429=1") as failing, asking(failing.base_url, monkeypatch) as client:
        with pytest.raises(ClientError, match="RateLimitError"):
            client.complete(SAMPLES[0])
        assert failing.stats()["requests"]["total"] == 1


def test_a_server_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and never listening: nobody else can have the port
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with asking(nobody, monkeypatch) as client, pytest.raises(ClientError, match="APIConnectionError"):
            client.complete(SAMPLES[0])


def test_without_a_key_there_is_no_live_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    with pytest.raises(ClientError, match="found no ANTHROPIC_API_KEY"):
        LiveClient(model="m", max_tokens=1, temperature=0.0)


# --- self-contained -------------------------------------------------------------------------------------------------


def test_nothing_of_ours_and_no_sdk_is_loaded_to_simulate(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tools import anthropic_client, dataset, logging_utils, metrics\n"
        f"client = anthropic_client.SimulatedClient(Path({str(ANSWERS)!r}))\n"
        f"[client.complete(sample) for sample in dataset.read_samples(Path({str(DATA / 'dialogues.json')!r}))]\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'profiler', 'task_kit', 'grader', 'anthropic', 'yaml', 'httpx2', 'pydantic'}))"
    )

    ended = python("-S", "-c", program, cwd=tmp_path, PYTHONPATH=str(TASK))

    assert (ended.stdout, ended.stderr) == ("[]\n", "")
