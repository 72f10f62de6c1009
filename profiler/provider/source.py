"""Who answers a run: client, provider, address and API version. Answers of two sources never mix in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import UsageError
from profiler.core.nouns import Mode
from profiler.provider.address import place_of
from profiler.provider.requests import api_version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from profiler.manifest.settings import Experiment

KEY, MODE = "ANTHROPIC_API_KEY", "PROFILER_MODE"
OWN_CLIENT = "own client "  # begins what a summary says of such a client


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it is known before the first request.

    `client` names a client that is not one of ours; only such a client itself knows where it asks.
    """

    mode: Mode
    client: str | None = None
    provider: str | None = None
    address: str | None = None
    api_version: str | None = None

    @property
    def own(self) -> bool:
        return self.client is not None

    @property
    def costs_nothing(self) -> bool:
        """Whether nobody pays for its answers, and the same ones come again. A client of the user's own may cost money
        in every mode."""
        return self.mode == "mock" and not self.own

    @property
    def in_words(self) -> str:
        """The source in words, for tables and reports."""
        if self.client is not None:
            return f"{OWN_CLIENT}{self.client}"
        return "the deterministic mock" if self.mode == "mock" else f"{self.provider} at {self.address}"


def source_of(experiment: Experiment, *, mode: Mode, environ: Mapping[str, str], given: object = None) -> Source:
    """The source of a run of this experiment; `given` is a client that the caller brings."""
    client = experiment.client if given is None else f"{type(given).__module__}:{type(given).__qualname__}"
    if mode == "mock":
        return Source(mode=mode, client=client, api_version=experiment.api_version)
    if client is not None:
        return Source(mode=mode, client=client, api_version=api_version_of(experiment))
    return Source(
        mode=mode,
        provider=experiment.provider,
        address=place_of(experiment, environ),
        api_version=api_version_of(experiment),
    )


def choose_mode(asked: str, environ: Mapping[str, str]) -> Mode:
    """`auto` means what PROFILER_MODE says; without that, live if and only if an API key is set."""
    told = environ.get(MODE, "").strip() or "auto"
    if told not in ("auto", "mock", "live"):
        raise UsageError(f"{MODE}: found {told!r}, expected one of auto, mock, live")
    asked = told if asked == "auto" else asked
    if asked == "auto":
        return "live" if environ.get(KEY) else "mock"
    return "live" if asked == "live" else "mock"


def facts(source: Source) -> dict[str, Any]:
    """The part of summary.json that names the source."""
    return {"client": source.in_words, "address": source.address, "api_version": source.api_version}
