"""Bedrock, Vertex and Foundry, reached through the SDK's client for each.

They find their credentials by themselves, at the first call. What goes wrong there is raised by libraries beneath the
SDK (botocore, google-auth); `meant` turns those exceptions into a `CallError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.errors import CallError, UsageError
from profiler.provider.address import parsed
from profiler.provider.http.connection import lost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.manifest.settings import Experiment

CLASSES = {"bedrock": "AsyncAnthropicBedrock", "vertex": "AsyncAnthropicVertex", "foundry": "AsyncAnthropicFoundry"}
MISSING = {
    "bedrock": "set AWS_REGION, and AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_BEARER_TOKEN_BEDROCK",
    "vertex": "set CLOUD_ML_REGION and ANTHROPIC_VERTEX_PROJECT_ID, and log in with gcloud auth application-default login",
    "foundry": "set ANTHROPIC_FOUNDRY_API_KEY, and ANTHROPIC_FOUNDRY_RESOURCE or base_url",
}
# Failures of the network while credentials are fetched: worth another try.
PASSING = {"botocore.exceptions.HTTPClientError", "google.auth.exceptions.TransportError"}
SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_FOUNDRY_API_KEY")


def platform_sdk(experiment: Experiment, **options: Any) -> Any:
    """The SDK's client for the provider that the experiment names."""
    import anthropic  # noqa: PLC0415 (takes over a second, and only live runs need it)
    import httpx2  # noqa: PLC0415 (the SDK's own, and it has loaded it)

    provider = experiment.provider
    if experiment.base_url is not None:
        options["base_url"] = parsed(experiment.base_url, told_by="base_url").with_login
    try:
        return getattr(anthropic, CLASSES[provider])(max_retries=0, timeout=experiment.timeout_s, **options)
    except ImportError as error:
        hint = f"pip install 'experiment-profiler[{provider}]'"
        raise UsageError(f"provider: cannot use {provider}: {error}", hint=hint) from error
    except (ValueError, TypeError, httpx2.InvalidURL, anthropic.AnthropicError) as error:
        raise UsageError(f"provider: cannot use {provider}: {error}", hint=MISSING[provider]) from error


def secrets(environ: Mapping[str, str]) -> list[str | None]:
    """The secrets that no message may show."""
    return [environ.get(name) for name in SECRETS]


def meant(error: Exception) -> CallError | None:
    """The `CallError` for an exception of botocore or google-auth; None for any other, which is a bug.

    They are recognised by the names of their packages, because importing either takes most of a second.
    """
    told = str(error) or type(error).__name__
    packages = {each.__module__.partition(".")[0] for each in type(error).__mro__}
    names = {f"{each.__module__}.{each.__name__}" for each in type(error).__mro__}
    if "botocore.eventstream.ParserError" in names:
        return lost(f"the stream is not one of AWS: {told}")
    if names & PASSING:
        return lost(f"cannot get credentials: {told}", sent=False)
    if packages & {"botocore", "google"} or _no_credentials(error):
        return CallError("authentication", f"found no credentials: {told}", fatal=True, sent=False)
    return None


def _no_credentials(error: Exception) -> bool:
    """The SDK raises a plain `RuntimeError` when it finds no credentials."""
    return type(error) is RuntimeError and str(error).startswith("Could not resolve")
