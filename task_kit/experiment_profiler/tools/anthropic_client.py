"""Two clients that answer a sample: `SimulatedClient` from a file of prepared answers, `LiveClient` by asking Claude.

Both have `complete(sample)`, which any thread may call. It returns a `Completion`, whose metadata always holds `type`
(answer, refusal or truncated), `stop_reason`, `usage` (input_tokens, output_tokens), `latency_s` and `model`. The
caller chooses the client. Only the live one needs a network, a key and the Anthropic SDK, and it loads the SDK when it
is first asked.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from .logging_utils import loads
from .mark import mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    import anthropic

    from .dataset import Sample

KEY: Final = "ANTHROPIC_API_KEY"
TIMEOUT_S: Final = 60.0
CHARACTERS_PER_TOKEN: Final = 4
# Newer versions of the API refuse sampling parameters, and the SDK has no argument for them.
SAMPLING_API_VERSION: Final = "2023-06-01"
TRUNCATING: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
# A model that declines mostly says so in words, with the stop reason of any other answer.
_DECLINES: Final = re.compile(
    r"\W*(?:(?:i['’]m |i am )?sorry[,.;]?\s+(?:but )?)?"
    r"i (?:can['’]?t|cannot|won['’]?t|am unable to|am not able to)\s+(?:help (?:you )?(?:with|to)|assist|provide|share)\b",
    re.IGNORECASE,
)


class ClientError(Exception):
    """The client has no answer; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer of a client, and the facts about it that the logs keep."""

    completion: str
    metadata: dict[str, Any]


class Client(Protocol):
    def complete(self, sample: Sample) -> Completion: ...


class SimulatedClient:
    """Answers from a file of prepared answers, looked up by dialogue_id: always the same, without waiting, at no cost."""

    def __init__(self, responses_path: str | Path, *, model: str = "simulated") -> None:
        self._path = Path(responses_path)
        self._answers = _load_answers(self._path)
        self._model = model

    def complete(self, sample: Sample) -> Completion:
        answer = self._answers.get(sample.dialogue_id)
        if answer is None:
            raise ClientError(f"{self._path}: found no answer to dialogue {sample.dialogue_id!r}")
        completion = answer["completion"] + mark(sample)
        stop_reason = answer.get("stop_reason", "end_turn")
        told = answer.get("metadata", {}).get("type")
        return Completion(
            completion=completion,
            metadata={
                "type": _type_of(stop_reason, told=told or _spoken(completion)),
                "stop_reason": stop_reason,
                "usage": answer.get("usage") or _usage(sample, completion),
                "latency_s": 0.0,
                "model": self._model,
            },
        )


class LiveClient:
    """Asks Claude through the Anthropic SDK. Needs `ANTHROPIC_API_KEY`; `ANTHROPIC_BASE_URL` may name another address.

    A failed call is not tried again here: whether to retry is for the code to decide that runs the whole experiment.
    """

    def __init__(self, *, model: str, max_tokens: int, temperature: float) -> None:
        self._key = os.environ.get(KEY, "").strip()
        if not self._key:
            raise ClientError(f"found no {KEY} in the environment, expected the key of a live run")
        self._model = model
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._opening = threading.Lock()
        self._opened: anthropic.Anthropic | None = None

    def complete(self, sample: Sample) -> Completion:
        import anthropic  # noqa: PLC0415 (takes over a second, and only a live run needs it)

        begun = time.perf_counter()
        try:
            message = self._sdk().messages.create(**self._arguments(sample))
        except anthropic.AnthropicError as error:
            raise ClientError(f"dialogue {sample.dialogue_id!r}: {type(error).__name__}: {error}") from error
        completion = "".join(block.text for block in message.content if block.type == "text")
        return Completion(
            completion=completion,
            metadata={
                "type": _type_of(message.stop_reason, told=_spoken(completion)),
                "stop_reason": message.stop_reason,
                "usage": {
                    "input_tokens": message.usage.input_tokens,
                    "output_tokens": message.usage.output_tokens,
                },
                "latency_s": round(time.perf_counter() - begun, 6),
                "model": message.model,
            },
        )

    def close(self) -> None:
        """Close its connections; the next call opens new ones."""
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _sdk(self) -> anthropic.Anthropic:
        import anthropic  # noqa: PLC0415 (as above)

        with self._opening:
            if self._opened is None:
                self._opened = anthropic.Anthropic(api_key=self._key, max_retries=0, timeout=TIMEOUT_S)
            return self._opened

    def _arguments(self, sample: Sample) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "messages": [{"role": "user", "content": sample.user}],
            "extra_body": {"temperature": self._temperature},
            "extra_headers": {"anthropic-version": SAMPLING_API_VERSION},
        }
        return {**arguments, "system": sample.system} if sample.system else arguments


def _load_answers(path: Path) -> Mapping[str, dict[str, Any]]:
    try:
        answers = loads(path.read_bytes())
    except OSError as error:
        raise ClientError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ClientError(f"{path}: found a file that is not strict JSON: {error}") from error
    if not (isinstance(answers, dict) and all(_is_answer(answer) for answer in answers.values())):
        raise ClientError(f"{path}: found something else, expected {{dialogue_id: {{completion: text, …}}}}")
    return answers


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("completion"), str)
        and isinstance(answer.get("metadata", {}), dict)
    )


def _type_of(stop_reason: str | None, *, told: str | None) -> str:
    """Say which type an answer has. A refusal that ran out of tokens is a refusal, so that is looked at first."""
    if stop_reason == "refusal" or told == "refusal":
        return "refusal"
    return "truncated" if stop_reason in TRUNCATING or told == "truncated" else "answer"


def _spoken(completion: str) -> str:
    return "refusal" if _DECLINES.match(completion) else "answer"


def _usage(sample: Sample, completion: str) -> dict[str, int]:
    """Guess the usage of a prepared answer that does not say it."""
    asked = len(sample.system) + len(sample.user)
    return {
        "input_tokens": -(-asked // CHARACTERS_PER_TOKEN),
        "output_tokens": -(-len(completion) // CHARACTERS_PER_TOKEN),
    }
