"""Other providers, each asked over a loopback server with credentials that are made up. Nothing leaves the machine."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from profiler.core.errors import CallError, ProviderFailed, UsageError
from profiler.engine.options import Options
from profiler.engine.runner import run
from profiler.provider.open import open_client
from tests.profiler.provider.asked_over import events, experiment, request_for
from tests.profiler.provider.loopback import MESSAGE, Asked, Say, http, serving

if TYPE_CHECKING:
    from pathlib import Path

PREFIXES = ("AWS_", "ANTHROPIC_", "GOOGLE_", "CLOUD", "VERTEX")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without credentials, and without a metadata service to ask for some."""
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-made-up")


def google(monkeypatch: pytest.MonkeyPatch, folder: Path, *, token_url: str) -> None:
    pytest.importorskip("google.auth")
    rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 (only where it is installed)

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "made@up",
        "private_key": key.decode(),
        "token_uri": token_url,
    }
    path = folder / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setenv("CLOUD_ML_REGION", "us-east5")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "project")


async def one_run(provider: str, url: str, folder: Path) -> dict[str, Any]:
    path = folder / "d.jsonl"
    path.write_text('{"dialogue_id": "d", "user": "Capital of France?"}\n')
    asked = experiment(url, provider=provider, dataset_path=path)
    await run(asked, options=Options(output_dir=folder, mode="live"))
    (line,) = (folder / "e" / "responses.jsonl").read_text().splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


async def test_a_run_over_bedrock_signs_what_it_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    aws(monkeypatch)
    async with serving(lambda _: http(200, MESSAGE, request_id="", x_amzn_requestid="aws-1")) as server:
        record = await one_run("bedrock", server.url, tmp_path)

    (asked,) = server.asked
    assert (record["completion"], record["request_id"]) == ("Paris.", "aws-1")
    assert asked.head.split()[1] == "/model/claude-haiku-4-5/invoke"
    assert asked.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAMADEUP/")


async def test_a_run_over_vertex_fetches_a_token_and_uses_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Say:
        if asked.head.split()[1] == "/token":
            return http(200, {"access_token": "made-up-token", "expires_in": 3600, "token_type": "Bearer"})
        return http(200, MESSAGE)

    async with serving(answer) as server:
        google(monkeypatch, tmp_path, token_url=f"{server.url}/token")
        record = await one_run("vertex", server.url, tmp_path)

    asked = server.asked[-1]
    assert record["completion"] == "Paris."
    assert asked.head.split()[1].endswith("/publishers/anthropic/models/claude-haiku-4-5:rawPredict")
    assert asked.headers["authorization"] == "Bearer made-up-token"


async def test_a_run_over_foundry_sends_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTHROPIC_FOUNDRY_API_KEY", "foundry-key")
    async with serving(lambda _: http(200, MESSAGE)) as server:
        record = await one_run("foundry", server.url, tmp_path)

    assert record["completion"] == "Paris."
    assert "foundry-key" in server.asked[0].headers.values()


async def test_credentials_of_aws_that_are_missing_end_the_run_with_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("botocore")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    with pytest.raises(ProviderFailed, match="found no credentials: Could not resolve AWS credentials"):
        await one_run("bedrock", "http://127.0.0.1:1", tmp_path)


async def test_credentials_of_google_that_are_missing_end_the_run_with_a_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("google.auth")
    monkeypatch.setenv("CLOUD_ML_REGION", "us-east5")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "project")
    with pytest.raises(ProviderFailed, match="found no credentials: Your default credentials were not found"):
        await one_run("vertex", "http://127.0.0.1:1", tmp_path)


async def test_a_token_that_cannot_be_fetched_now_may_be_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    google(monkeypatch, tmp_path, token_url="http://127.0.0.1:1/token")
    asked = experiment("http://127.0.0.1:1", provider="vertex")
    async with open_client(asked, mode="live", environ={}) as client:
        with pytest.raises(CallError, match="cannot get credentials") as caught:
            await client.complete(request_for(asked))

    assert (caught.value.retryable, caught.value.fatal, caught.value.sent) == (True, False, False)


async def test_a_stream_that_is_not_one_of_aws_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    aws(monkeypatch)
    async with serving(lambda _: events(*MESSAGE["content"])) as server:
        asked = experiment(server.url, provider="bedrock")
        async with open_client(asked, mode="live", lane="stream", environ={}) as client:
            with pytest.raises(CallError, match="not one of AWS") as caught:
                await client.complete(request_for(asked))

    assert (caught.value.kind, caught.value.retryable, caught.value.sent) == ("connection", True, True)


@pytest.mark.parametrize(
    ("provider", "needed"), [("vertex", "CLOUD_ML_REGION"), ("foundry", "ANTHROPIC_FOUNDRY_API_KEY")]
)
async def test_what_a_provider_needs_is_named(provider: str, needed: str) -> None:
    with pytest.raises(UsageError, match=f"provider: cannot use {provider}") as caught:
        async with open_client(experiment("http://127.0.0.1:1", provider=provider), mode="live", environ={}):
            pass

    assert needed in (caught.value.hint or "")
