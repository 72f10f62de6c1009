"""What the fast lane says about itself is what the official SDK says: header for header, for every address and key."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import pytest

from profiler.core.errors import UsageError
from profiler.provider.endpoint import endpoint_of
from profiler.provider.requests import API_VERSION, Planner, params_of
from profiler.provider.sdk import SdkClient
from tests.profiler.building import dialogue
from tests.profiler.provider.asked_over import experiment
from tests.profiler.provider.loopback import KEY, MESSAGE

if TYPE_CHECKING:
    from profiler.manifest.settings import Experiment
    from profiler.provider.redact import Redactor

# Lines that are the SDK's own business: they say what it is, how it waits and what its HTTP library can read.
SDKS_OWN = ("x-stainless-", "user-agent", "accept-encoding", "connection")

KEYS = [KEY, f"  {KEY}\n", "no-usual-key", "k"]
URLS = [
    "https://api.anthropic.com",
    "https://api.anthropic.com/",
    "HTTPS://API.Anthropic.com:443",
    "http://gateway:80/deep/er/",
    "http://gateway:8089/deep",
    "http://gateway//",
    "http://gateway/with%20percent/a b/ü(1)'*~",
    'http://gateway/{x}|^`"<>',
    "http://name:word@gateway",
    "http://name:w%40rd@gateway:81/x",
    "http://name@gateway",
    "http://bücher.example/x",
    "http://[::1]:8089",
    "http://under_score/#fragment",
]
CUSTOM = [
    "",
    "X-Team: blue\nX-Trace:1",
    "Authorization: Bearer of another",
    "X-Api-Key: zz",
    "Host: elsewhere",
    "User-Agent: mine",
    "Accept: */*",
    "Content-Type: application/json; charset=utf-8",
    "anthropic-beta: one,two",
    f"anthropic-version: {API_VERSION}",
    "X-Name: Bücher",
    "X-Empty:",
    "X-Twice: 1\nx-twice: 2",
    "no colon\n\nX-Team: blue",
]
ENVIRONMENTS = [{}, {"ANTHROPIC_AUTH_TOKEN": "token"}, {"ANTHROPIC_PROFILE": "other"}]


def unredacted(text: str) -> str:
    return text


async def sdk_says(asked: Experiment, environ: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The target and the headers of a request by the SDK's own path."""
    seen: list[httpx2.Request] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=MESSAGE)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(note), trust_env=False)
    redact: Redactor = unredacted  # type: ignore[assignment]
    key = environ["ANTHROPIC_API_KEY"].strip()
    async with anthropic.AsyncAnthropic(api_key=key, base_url=asked.base_url, http_client=http, timeout=60) as sdk:
        client = SdkClient(sdk, describes="", redact=redact)
        await client.complete(Planner(params_of(asked)).request(0, dialogue()))
    [request] = seen
    headers = {name.decode().lower(): value.decode() for name, value in request.headers.raw}
    return request.url.raw_path.decode(), headers


def we_say(asked: Experiment, environ: dict[str, str]) -> tuple[str, dict[str, str]]:
    first, *lines = endpoint_of(asked, environ).head(params_of(asked).api_version).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first.split(" ")[1], headers


async def compared(
    monkeypatch: pytest.MonkeyPatch, *, url: str | None = None, **environ: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Both requests without the lines that are the SDK's own."""
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    environ = {"ANTHROPIC_API_KEY": KEY, **environ}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    asked = experiment(url) if url else experiment("", base_url=None)
    (their_target, theirs), (our_target, ours) = await sdk_says(asked, environ), we_say(asked, environ)
    assert our_target == their_target
    own = SDKS_OWN if "User-Agent" not in environ.get("ANTHROPIC_CUSTOM_HEADERS", "") else (SDKS_OWN[0], *SDKS_OWN[2:])
    ours, theirs = (
        {name: value for name, value in headers.items() if not name.startswith(own)} for headers in (ours, theirs)
    )
    assert int(theirs.pop("content-length")) > 0
    assert ours.pop("content-length") == ""  # written with each body
    return ours, theirs


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("others", ENVIRONMENTS, ids=str)
async def test_the_key_is_shown_as_the_sdk_shows_it(
    key: str, others: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = await compared(monkeypatch, ANTHROPIC_API_KEY=key, **others)

    assert ours == theirs
    assert ours["authorization"] == f"Bearer {key.strip()}"


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("told_by", ["base_url", "ANTHROPIC_BASE_URL"])
async def test_every_address_is_asked_as_the_sdk_asks_it(
    url: str, told_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: dict[str, Any] = {"url": url} if told_by == "base_url" else {told_by: url}
    ours, theirs = await compared(monkeypatch, **where)

    assert ours == theirs


@pytest.mark.parametrize("lines", CUSTOM)
@pytest.mark.parametrize("url", ["https://api.anthropic.com", "http://name:word@gateway/x"])
async def test_custom_headers_are_sent_as_the_sdk_sends_them(
    lines: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = await compared(monkeypatch, url=url, ANTHROPIC_CUSTOM_HEADERS=lines)

    assert ours == theirs


def test_the_pinned_version_is_the_one_that_the_installed_sdk_was_made_for() -> None:
    from anthropic._constants import ANTHROPIC_API_VERSION  # noqa: PLC0415 (nowhere public)

    assert ANTHROPIC_API_VERSION == API_VERSION, f"look at what changed in anthropic {anthropic.__version__}"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("X-A: \x1b[31m", "'x-a' holds characters that cannot be sent"),
        ("X A: 1", "'x a' holds characters that cannot be sent"),
        (": 1", "'' holds characters that cannot be sent"),
        ("Content-Length: 3", "'content-length' cannot be set"),
        ("Transfer-Encoding: chunked", "'transfer-encoding' cannot be set"),
        ("anthropic-version: 2020-01-01", f"asks for anthropic-version 2020-01-01, the run sends {API_VERSION}"),
    ],
)
def test_a_header_that_would_be_another_request_is_refused(lines: str, message: str) -> None:
    with pytest.raises(UsageError, match="ANTHROPIC_CUSTOM_HEADERS") as caught:
        endpoint_of(experiment("http://x"), {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_CUSTOM_HEADERS": lines})

    assert message in str(caught.value)


def test_no_secret_of_the_environment_passes_the_redactor() -> None:
    environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_CUSTOM_HEADERS": "X-Gateway-Token: hush-hush"}
    endpoint = endpoint_of(experiment("http://name:w%40rd@gateway"), environ)
    said = f"{KEY} hush-hush w%40rd w@rd {endpoint.head(None).decode()}"

    shown = f"{endpoint.redact(said)} {endpoint!r} {endpoint.describes} {endpoint.url}"
    assert not [secret for secret in (KEY, "hush-hush", "w%40rd", "w@rd", "bmFtZTp3QHJk") if secret in shown]


def test_the_fast_lane_does_without_the_sdk() -> None:
    code = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from profiler.manifest.settings import Experiment\n"
        "from profiler.provider.open import open_client\n"
        "async def main():\n"
        "    asked = Experiment(experiment_id='e', model='m', max_tokens=1, dataset_path=Path('d'))\n"
        "    async with open_client(asked, mode='live', environ={'ANTHROPIC_API_KEY': 'k'}):\n"
        "        assert not {'anthropic', 'httpx2', 'pydantic'} & sys.modules.keys()\n"
        "anyio.run(main)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
