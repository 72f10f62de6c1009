"""For pytest: the fixture `mock_anthropic`, a mock server that every Anthropic client of the test asks.

@pytest.mark.mock_anthropic(script=["529"])            # settings of the server, where others are wanted
def test_my_agent_tries_again(mock_anthropic):
    my_agent.answer("Why is the sea salty?")           # makes its own client, from the environment
    mock_anthropic.assert_requests(2, endpoint="messages", contains="salty")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.provider.mock_server.server import MockServer

OTHER_CREDENTIALS = (
    *("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_FEDERATION_RULE_ID"),
    *("ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "mock_anthropic(**settings): settings of the server behind the fixture mock_anthropic"
    )


@pytest.fixture
def mock_anthropic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MockServer]:
    """A mock server of its own for this test, in another thread; the environment leads to it."""
    from profiler.provider.mock_server.server import MockServer  # noqa: PLC0415

    marker = request.node.get_closest_marker("mock_anthropic")
    with MockServer(**(marker.kwargs if marker is not None else {})) as server:
        for name in OTHER_CREDENTIALS:
            monkeypatch.delenv(name, raising=False)
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        for name in ("NO_PROXY", "no_proxy"):  # a proxy cannot reach the loopback address of this machine
            monkeypatch.setenv(name, ",".join(filter(None, ("127.0.0.1", os.environ.get(name)))))
        yield server
