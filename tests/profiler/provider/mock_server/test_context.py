"""The server as a context manager in other people's tests: with a thread of its own, or in their event loop."""

from __future__ import annotations

import threading
from typing import Any

import anthropic
import pytest

import profiler
from profiler import MockServer
from profiler.core.errors import UsageError
from profiler.provider.mock_server.server import MockServer as Here
from profiler.provider.mock_server.settings import ServerSettings
from tests.profiler.provider.mock_server.raw import ASKED


def asked(server: MockServer, **changes: Any) -> anthropic.types.Message:
    with anthropic.Anthropic(
        base_url=server.base_url, api_key="mock", max_retries=0, http_client=anthropic.DefaultHttpxClient(verify=False)
    ) as client:
        message: anthropic.types.Message = client.messages.create(**{**ASKED, **changes})
        return message


def test_its_name_is_public() -> None:
    assert profiler.MockServer is Here


def test_it_answers_a_client_that_blocks_and_is_gone_afterwards() -> None:
    before = threading.active_count()
    with MockServer() as server:
        assert asked(server).role == "assistant"
        assert server.stats["requests"]["total"] == 1
    with pytest.raises(anthropic.APIConnectionError):
        asked(server)
    assert threading.active_count() == before


def test_what_was_sent_can_be_asked_for_while_it_runs_and_afterwards() -> None:
    with MockServer() as server:
        asked(server, system="Be brief.")
        (sent,) = server.requests(endpoint="messages")
    (later,) = server.assert_requests(1, contains="Be brief.")

    assert sent["body"]["system"] == "Be brief."
    assert sent["headers"]["authorization"] == "[not kept]"
    assert later == sent


def test_a_wrong_expectation_tells_what_really_came() -> None:
    with MockServer() as server:
        asked(server)
        with pytest.raises(AssertionError, match=r"expected 2 requests with .*found 1(.|\n)*POST /v1/messages -> 200"):
            server.assert_requests(2, endpoint="messages")
        with pytest.raises(AssertionError, match="at least one request"):
            server.assert_requests(endpoint="files")


def test_faults_limits_and_clock_can_be_changed_while_it_runs() -> None:
    with MockServer(script=["529"]) as server:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            asked(server)
        server.set_faults(rates={"500": 1.0})
        with pytest.raises(anthropic.InternalServerError):
            asked(server)
        server.set_faults()
        server.set_limits(rules=[{"requests_per_minute": 1}], burst_s=1)
        asked(server)
        with pytest.raises(anthropic.RateLimitError):
            asked(server)
        server.advance(60)
        asked(server)
        server.reset()
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            asked(server)


def test_a_file_of_a_tool_can_be_added_and_downloaded() -> None:
    with MockServer() as server, anthropic.Anthropic(base_url=server.base_url, api_key="mock") as client:
        made = server.add_file("chart.csv", b"a,b\n")
        assert client.files.download(made).read() == b"a,b\n"


async def test_it_lives_in_the_event_loop_of_who_awaits_it() -> None:
    before = threading.active_count()
    async with MockServer(latency_s=0.001) as server:
        assert threading.active_count() == before
        async with anthropic.AsyncAnthropic(base_url=server.base_url, api_key="mock") as client:
            await client.messages.create(**ASKED)
        assert server.assert_requests(1)[0]["status"] == 200


def test_settings_can_be_given_as_one_and_changed_by_name() -> None:
    server = MockServer(ServerSettings(seed=3, latency_s=1.0), latency_s=0.0, dataset_path="data/dialogues.json")

    assert (server.settings.seed, server.settings.latency_s) == (3, 0.0)


def test_a_setting_that_is_none_and_an_address_of_others_are_refused() -> None:
    with pytest.raises(TypeError, match="latency"):
        MockServer(latency=1)
    with pytest.raises(UsageError, match="other machines"):
        MockServer(host="0.0.0.0")


def test_a_port_that_is_taken_is_said_without_a_thread_left_behind() -> None:
    before = threading.active_count()
    with MockServer() as first, pytest.raises(UsageError, match="cannot listen"), MockServer(port=first.port):
        pass
    assert threading.active_count() == before
