"""Where a live run asks and as whom: the environment is used and said, the key is said nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from profiler.provider.fast import FastClient
from tests.faults.live import KEY, live_run, live_site, provider
from tests.faults.runs import dialogues, whole_records

if TYPE_CHECKING:
    from pathlib import Path

    from profiler.core.nouns import Reply, Request


def test_the_base_url_of_the_environment_is_used_and_said(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(5))
    with provider(site) as used:
        run = live_run(site)

    assert run.code == 0, run
    assert used.calls == 5
    assert "MODE: LIVE" in run.err
    assert f"trial: asking {used.url}, fast lane" in run.err


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_used_and_said(tmp_path: Path, variable: str) -> None:
    site = live_site(tmp_path, dialogues(5), base_url="http://api.nowhere.invalid")
    with provider(site) as proxy:
        site.environ[variable] = proxy.url
        run = live_run(site)

    assert run.code == 0, run
    assert proxy.calls == 5
    assert f"asking http://api.nowhere.invalid through the proxy {proxy.url} ({variable}), fast lane" in run.err


def test_the_password_of_a_proxy_is_not_said(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(2), base_url="http://api.nowhere.invalid")
    with provider(site) as proxy:
        site.environ["HTTP_PROXY"] = proxy.url.replace("//", "//me:open-sesame@")
        run = live_run(site)

    assert run.code == 0, run
    assert proxy.calls == 2
    assert "open-sesame" not in run.said


def test_a_host_that_needs_no_proxy_is_asked_directly(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(2))
    with provider(site) as direct:
        site.environ |= {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}
        run = live_run(site)

    assert run.code == 0, run
    assert direct.calls == 2
    assert "proxy" not in run.err


@pytest.mark.parametrize("lane", ["fast", "sdk", "stream", "sdk-stream"])
def test_the_key_is_in_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lane: str) -> None:
    """A bug in the middle of a call: every lane ends with a traceback, and `live_run` looks for the key in it."""

    def crash(*_: object, **__: object) -> Reply:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("profiler.provider.fast.reply_of", crash)
    monkeypatch.setattr("profiler.provider.sdk.reply_of", crash)
    monkeypatch.setattr("profiler.provider.streamed_message.reply_of", crash)
    site = live_site(tmp_path, dialogues(2))
    with provider(site):
        run = live_run(site, "--client", lane)

    assert run.code == 70, run
    assert "ZeroDivisionError: a bug" in run.err


@pytest.mark.parametrize("key", [f"{KEY} with a word", f"{KEY}\u200b", f"{KEY}\x07"])
def test_a_key_that_cannot_be_one_is_refused_unsaid(tmp_path: Path, key: str) -> None:
    site = live_site(tmp_path, dialogues(2))
    with provider(site) as unasked:
        site.environ["ANTHROPIC_API_KEY"] = key
        run = live_run(site)

    assert run.code == 2, run
    assert "ANTHROPIC_API_KEY: found characters that no key has (not shown)" in run.err
    assert unasked.calls == 0


def test_a_wrong_key_ends_the_run_and_stays_unsaid(tmp_path: Path) -> None:
    site = live_site(tmp_path, dialogues(50))
    with provider(site, key="another") as closed:
        run = live_run(site)
        calls = closed.calls

    assert run.code == 3, run
    assert calls <= 16


async def never(_: FastClient, request: Request) -> Reply:
    raise AssertionError(f"{request.dialogue.dialogue_id} was asked")


def test_a_complete_run_asks_nothing_when_it_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = live_site(tmp_path, dialogues(3))
    with provider(site):
        assert live_run(site).code == 0
        monkeypatch.setattr(FastClient, "complete", never)
        again = live_run(site)

    assert again.code == 0, again
    assert "already complete, nothing was asked" in again.err
    assert len(whole_records(site.responses)) == 3
