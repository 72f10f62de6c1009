"""The fixture `mock_anthropic` in a test session of its own, as other projects have it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

PLUGIN = "profiler.provider.mock_server.pytest_plugin"
ROOT = Path(__file__).resolve().parents[4]

TESTS = """
import anthropic, pytest

def ask(text="Why is the sea salty?"):
    client = anthropic.Anthropic()
    return client.messages.create(model="claude-haiku-4-5", max_tokens=64, messages=[{"role": "user", "content": text}])

def test_an_agent_asks_the_server(mock_anthropic):
    ask()
    mock_anthropic.assert_requests(1, endpoint="messages", contains="salty", model="claude-haiku-4-5")

def test_each_test_has_a_server_of_its_own(mock_anthropic):
    assert mock_anthropic.requests() == []

@pytest.mark.mock_anthropic(script=["529"], key="secret")
def test_an_agent_tries_again(mock_anthropic):
    ask()
    first, second = mock_anthropic.requests()
    assert (first["status"], second["status"]) == (529, 200)

async def test_an_agent_that_awaits(mock_anthropic):
    async with anthropic.AsyncAnthropic() as client:
        await client.messages.count_tokens(model="claude-haiku-4-5", messages=[{"role": "user", "content": "x"}])
    mock_anthropic.assert_requests(1, endpoint="count_tokens")

def test_that_fails(mock_anthropic):
    ask()
    mock_anthropic.assert_requests(3)
"""


def test_the_fixture_leads_clients_to_a_server_and_asserts_on_what_they_sent(tmp_path: Path) -> None:
    (tmp_path / "test_agent.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\naddopts = --strict-markers\n"
    )
    environ = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # whether this checkout is installed anew or not, it is loaded once
        "ANTHROPIC_AUTH_TOKEN": "not-for-this-server",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        PLUGIN,
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "no:cacheprovider",
        ".",
    ]

    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=120)

    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "expected 3 requests with (), found 1" in done.stdout


def test_pytest_finds_the_plugin_where_the_project_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"mock_anthropic": PLUGIN}
    assert callable(import_module(PLUGIN).pytest_configure)
