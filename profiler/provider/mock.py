"""The mock client: answers from a file of prepared responses, or makes answers up; needs no network and costs nothing.

Everything it says depends only on seed, model, settings, dialogue and repeat, so two runs give the same bytes.
"""

from __future__ import annotations

import asyncio
import math
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import msgspec
from msgspec import UNSET, Meta

from profiler.core.errors import CallError, DatasetError, ManifestError, Problem
from profiler.core.nouns import CHARACTERS_PER_TOKEN, Reply
from profiler.dataset.unchanged import Remembered

if TYPE_CHECKING:
    from pathlib import Path
    from statistics import NormalDist

    from profiler.core.nouns import Dialogue, Params, Request
    from profiler.manifest.settings import MockSettings

MEDIUM_TOKENS = 1_600  # of a picture or document
# How often a made-up answer holds each required fact, and how often it refuses.
FACT_FOUND = 0.88
REFUSED_WHEN_EXPECTED = 0.95
REFUSED_OTHERWISE = 0.01
DRAWS = 2**32  # draws are whole numbers below it, and are compared with whole numbers
_FOUND, _REFUSED_EXPECTED, _REFUSED = (
    math.ceil(share * DRAWS) for share in (FACT_FOUND, REFUSED_WHEN_EXPECTED, REFUSED_OTHERWISE)
)

FAULTS: dict[str, dict[str, Any]] = {
    "rate_limited": {"status": 429, "retryable": True},
    "overloaded": {"status": 529, "retryable": True},
    "server_error": {"status": 500, "retryable": True},
    "timeout": {"retryable": True},
    "invalid_request": {"status": 400},
}


class PreparedAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a mock responses file.

    `replies` answer the turns of a dialogue one by one; `completion` answers every turn beyond them.
    """

    completion: str
    replies: tuple[str, ...] = ()
    stop_reason: str = "end_turn"
    usage: Any = None  # may be malformed, to try out how a malformed usage of a provider is handled
    metadata: dict[str, Any] = {}


Answers = dict[str, PreparedAnswer | Annotated[list[PreparedAnswer], Meta(min_length=1)]]

_answers_of: Remembered[Answers] = Remembered(most=4)


def load_answers(path: Path) -> Answers:
    """The prepared answers of a file, by dialogue_id; nobody may change them, as many experiments share them.

    A list has the answers to the repeats of its dialogue, and begins anew when there are more of these.
    """
    try:
        return _answers_of.of(path, lambda: _decoded(path))
    except DatasetError:  # it cannot be looked at, and reading says why
        return _decoded(path)


def _decoded(path: Path) -> Answers:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Answers)
    except OSError as error:
        raise ManifestError([Problem(path=str(path), message=f"cannot read: {error.strerror}")]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = Problem(
            path=str(path),
            message=f"found a file that does not decode ({error}), expected {{dialogue_id: {{completion: …}}}}",
            hint="an entry has completion, and optionally replies, stop_reason, usage, metadata; a list of such "
            "answers one repeat after the other",
        )
        raise ManifestError([problem]) from error


class MockClient:
    """Answers like a provider, deterministically, with the latency and the faults that the manifest asks for."""

    describes = "the deterministic mock"

    def __init__(self, settings: MockSettings) -> None:
        self._answers: Answers = {}
        if settings.responses_path is not None:
            self._answers = load_answers(settings.responses_path)
        self._seed = settings.seed
        self._faults = settings.faults
        self._latency = settings.latency
        # The salt is the same for all requests of an experiment, so it is kept.
        self._salted_for: Params | None = None
        self._salted = 0
        self._drawn = bool(self._latency.sigma or self._latency.stalls)

    async def complete(self, request: Request) -> Reply:
        latency_s = self._latency_of(request) if self._drawn else self._latency.median_s
        if latency_s:
            await asyncio.sleep(latency_s)  # not anyio's, which costs two more calls each time
        if self._faults:
            self._fail_perhaps(request)
        return self.reply(request, latency_s=latency_s)

    def reply(self, request: Request, *, latency_s: float | None = None) -> Reply:
        """The answer alone, without waiting and faults."""
        answer = self._answers.get(request.dialogue.dialogue_id)
        if isinstance(answer, list):
            answer = answer[(request.repeat or 0) % len(answer)]
        if answer is None:
            if request.line.request is not UNSET and (invented := self._invented(request)) is not None:
                return msgspec.structs.replace(invented, latency_s=latency_s)
            completion, stop_reason = self._invent(request)
            usage, metadata = None, {}
        else:
            completion = answer.replies[request.turn] if request.turn < len(answer.replies) else answer.completion
            stop_reason, usage, metadata = answer.stop_reason, answer.usage, answer.metadata
        return Reply(
            completion=completion,
            stop_reason=stop_reason,
            model=request.params.model,
            usage=_usage(request, completion) if usage is None or usage == {} else usage,
            latency_s=latency_s,
            metadata=metadata,
        )

    def _invented(self, request: Request) -> Reply | None:
        """A made-up tool call, or JSON that fits a schema, where the request asks for that; else None."""
        from profiler.provider.inventing.answers import answer  # noqa: PLC0415 (few requests ask for that)

        found = answer(request, seed=self._seed)
        if found is None:
            return None
        calls = [block for block in found.blocks if block["type"] == "tool_use"]
        return Reply(
            completion="".join([block["text"] for block in found.blocks if block["type"] == "text"]),
            stop_reason=found.stop_reason,
            model=request.params.model,
            usage=_usage(request, "") | {"output_tokens": found.tokens},
            content=found.blocks if calls else None,
        )

    def _invent(self, request: Request) -> tuple[str, str]:
        """A made-up answer, cut at `max_tokens`."""
        params = request.params
        salt = self._salted if params is self._salted_for else self._salt(params)
        found, stop_reason = made_up(request.dialogue, salt=salt, turn=request.turn, repeat=request.repeat or 0)
        if stop_reason == "refusal":
            return found or "", stop_reason
        completion = found if found is not None else echo(_asked(request))
        room = params.max_tokens * CHARACTERS_PER_TOKEN
        return (completion, "end_turn") if len(completion) <= room else (completion[:room], "max_tokens")

    def _salt(self, params: Params) -> int:
        """A number made from the model and the settings, so that others get different answers."""
        self._salted_for = params
        self._salted = salt_of(self._seed, model=params.model, temperature=params.temperature)
        return self._salted

    def _draw(self, request: Request, purpose: str) -> float:
        """A number in (0, 1) that depends only on the seed, the dialogue, its repeat, turn and attempt, and the purpose."""
        key = f"{purpose} {self._seed} {request.turn} {request.attempt} {request.dialogue.dialogue_id}"
        if request.repeat:  # the first repeat is answered like a dialogue that is asked once
            key += f" {request.repeat}"
        return (int.from_bytes(blake2b(key.encode(), digest_size=6).digest()) + 0.5) / 2**48

    def _latency_of(self, request: Request) -> float:
        latency = self._latency
        if (stall := latency.stalls.get(request.dialogue.dialogue_id)) is not None:
            return stall
        if not latency.sigma:
            return latency.median_s
        spread = _normal().inv_cdf(self._draw(request, "latency"))
        return round(latency.median_s * math.exp(latency.sigma * spread), 6)

    def _fail_perhaps(self, request: Request) -> None:
        """Raise one of the faults, each at its own rate."""
        draw = self._draw(request, "fault")
        for kind, rate in self._faults.items():
            if draw < rate:
                raise CallError(kind, f"a {kind} fault asked for by the manifest", **FAULTS[kind])
            draw -= rate


def salt_of(seed: int, *, model: str, temperature: float | None) -> int:
    return crc32(f"{seed} {model} {temperature}".encode())


def made_up(dialogue: Dialogue, *, salt: int, turn: int, repeat: int = 0) -> tuple[str | None, str]:
    """Text and stop reason: most of the facts, or a refusal.

    The text is None when no fact is to be repeated; then `echo` says something instead.
    """
    draw = crc32(dialogue.dialogue_id.encode(), salt + turn & 0xFFFFFFFF)
    if repeat:  # the first one is answered like a dialogue that is asked once
        draw = _another(draw, repeat)
    if draw < (_REFUSED_EXPECTED if dialogue.expect_refusal else _REFUSED):
        return "I can't help with that request.", "refusal"
    found = []
    for fact in dialogue.required_facts:
        draw = draw * 1664525 + 1013904223 & 0xFFFFFFFF  # a linear congruential step: one more draw
        if draw < _FOUND:
            found.append(fact)
    return f"Here is what I know: {'; '.join(found)}." if found else None, "end_turn"


def _another(draw: int, repeat: int) -> int:
    """A draw for a later repeat. Checksums of similar texts differ by the same bits, hence the mixing, which is that of
    MurmurHash3."""
    draw = draw + 0x9E3779B1 * repeat & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        draw = (draw ^ draw >> shift) * factor & 0xFFFFFFFF
    return draw ^ draw >> 16


def echo(asked: Any) -> str:
    return f"You asked: {asked[:200]}" if isinstance(asked, str) else "You asked: the content given"


def _asked(request: Request) -> Any:
    return request.dialogue.user or request.messages[-1]["content"]


def _media(content: Any) -> int:
    """Characters that are read for the pictures and documents among these blocks, less those that are sent."""
    more = 0
    for block in content:
        source, inner = block.get("source"), block.get("content")
        if isinstance(source, dict) and source.get("type") in ("base64", "url", "file"):
            more += MEDIUM_TOKENS * CHARACTERS_PER_TOKEN - len(source.get("data") or "")
        if isinstance(inner, list):
            more += _media(inner)
    return more


def _usage(request: Request, completion: str) -> dict[str, int]:
    """Tokens estimated from lengths; a picture counts as one of the usual size, whatever its bytes."""
    sent = len(request.body)
    if request.dialogue.messages is not None:
        for said in request.dialogue.messages:
            if type(said.content) is not str:
                sent += _media(said.content)
    tokens, most = 1 + len(completion) // CHARACTERS_PER_TOKEN, request.params.max_tokens
    tokens = tokens if tokens < most else most  # noqa: FURB136 (min() costs a call)
    return {"input_tokens": 1 + sent // CHARACTERS_PER_TOKEN, "output_tokens": tokens}


@cache
def _normal() -> NormalDist:
    """Few manifests want calls to take differently long, and `statistics` loads fractions and decimals."""
    from statistics import NormalDist  # noqa: PLC0415

    return NormalDist()
