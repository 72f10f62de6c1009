from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from profiler.core.errors import UsageError
from profiler.manifest.settings import Experiment
from profiler.provider.source import Source, choose_mode, source_of

KEYED = {"ANTHROPIC_API_KEY": "k"}


def asked(**settings: Any) -> Experiment:
    usual = {"experiment_id": "e", "model": "m", "max_tokens": 1, "dataset_path": Path("d")}
    return Experiment(**{**usual, **settings})


class Own:
    pass


@pytest.mark.parametrize(
    ("settings", "environ", "address"),
    [
        ({}, {}, "https://api.anthropic.com"),
        ({}, {"ANTHROPIC_BASE_URL": "https://gateway/x/"}, "https://gateway/x"),
        ({"base_url": "http://Mine:80"}, {"ANTHROPIC_BASE_URL": "https://gateway"}, "http://mine"),
        ({"base_url": "https://name:word@gateway"}, {}, "https://gateway"),
        ({"provider": "bedrock"}, {"AWS_REGION": "eu-west-1"}, "AWS_REGION=eu-west-1"),
        ({"provider": "vertex"}, {"ANTHROPIC_VERTEX_BASE_URL": "https://u:p@v/"}, "https://v"),
        ({"provider": "foundry"}, {}, "the provider's default"),
        ({"provider": "foundry", "base_url": "https://f"}, {"ANTHROPIC_FOUNDRY_RESOURCE": "r"}, "https://f"),
    ],
)
def test_a_live_run_knows_its_address_without_its_password(
    settings: dict[str, Any], environ: dict[str, str], address: str
) -> None:
    source = source_of(asked(**settings), mode="live", environ=environ)

    assert source.address == address
    assert source.in_words == f"{settings.get('provider', 'anthropic')} at {address}"


def test_the_mock_asks_nobody() -> None:
    assert source_of(asked(base_url="http://x"), mode="mock", environ=KEYED) == Source(mode="mock")
    assert source_of(asked(), mode="mock", environ={}).in_words == "the deterministic mock"


@pytest.mark.parametrize("mode", ["mock", "live"])
def test_an_own_client_is_named(mode: Any) -> None:
    assert source_of(asked(client="mine:make"), mode=mode, environ={}).in_words == "own client mine:make"
    given = source_of(asked(client="mine:make"), mode=mode, environ={}, given=Own())
    assert given.in_words == f"own client {__name__}:Own"
    assert (given.address, given.mode) == (None, mode)


@pytest.mark.parametrize(
    ("asked", "environ", "mode"),
    [
        ("auto", {}, "mock"),
        ("auto", KEYED, "live"),
        ("auto", {"PROFILER_MODE": "live"}, "live"),
        ("auto", {"PROFILER_MODE": "mock", **KEYED}, "mock"),
        ("auto", {"PROFILER_MODE": "auto", **KEYED}, "live"),
        ("mock", {"PROFILER_MODE": "live", **KEYED}, "mock"),
        ("live", {"PROFILER_MODE": "mock"}, "live"),
    ],
)
def test_the_mode_is_what_is_asked_then_what_the_environment_says_then_whether_there_is_a_key(
    asked: str, environ: dict[str, str], mode: str
) -> None:
    assert choose_mode(asked, environ) == mode


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="PROFILER_MODE: found 'Live', expected one of auto, mock, live"):
        choose_mode("auto", {"PROFILER_MODE": "Live"})
