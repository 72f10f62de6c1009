"""Marks: signatures at the end of answers, made of everything that was asked and a secret of the process.

A copy of this file lies in every box, beside the tools and in the stand-in for the SDK, so it imports only the standard
library. The grader computes the same signatures outside and compares them with what was logged: a submission that did
not ask the client, or asked it for something else, cannot know them.
"""

import hashlib
from typing import Any

EDGES = ("", "\n", "  ", " \n\n", "\t", "\u2028", "\x85", "\x1c", "\u3000", "\r\n")  # what a strip() would remove
STOPS = ("end_turn", "end_turn", "stop_sequence", "max_tokens", "refusal", "model_context_window_exceeded")
FAILURES = ("RateLimitError", "APIConnectionError")  # what a third of all requests are answered with
TYPES = {"refusal": "refusal", "max_tokens": "truncated", "model_context_window_exceeded": "truncated"}


def sign(secret: str, *asked: object) -> str:
    """A signature of 32 hexadecimal digits."""
    digest = hashlib.blake2b(key=secret.encode()[:64], digest_size=16)
    for part in asked:
        text = str(part).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(text) + text)
    return digest.hexdigest()


def stamp(secret: str, *asked: object) -> str:
    """What is added to the end of a completion."""
    signature = sign(secret, *asked)
    return f"\n[{signature[:16]}]{EDGES[int(signature[16:18], 16) % len(EDGES)]}"


def mark_by(secret: str, sample: Any, *settings: object) -> str:
    """The mark for a sample as a submission gives it to its client, and for the client's settings."""
    return stamp(secret, sample.dialogue_id, sample.system, sample.user, *sample.required_facts, *settings)


def live_message(secret: str, **asked: object) -> dict[str, Any]:
    """What the stand-in for the API answers: an error of the SDK, or up to three blocks of text and all else."""
    signature = sign(secret, *(f"{name}={asked[name]}" for name in sorted(asked)))
    numbers = [int(signature[place : place + 2], 16) for place in range(0, 32, 2)]
    texts = [f"Answer {signature[:8]}.", f" \u2028Then {signature[8:20]}", stamp(secret, signature)]
    return {
        "texts": texts[: numbers[0] % 4],
        "thinks": numbers[1] % 2 == 0,
        "stop_reason": STOPS[numbers[2] % len(STOPS)],
        "usage": {"input_tokens": 1 + numbers[3] * 7, "output_tokens": 1 + numbers[4] * 5},
        "model": f"{asked['model']}-2026{1 + numbers[5] % 12:02d}01",
        "error": FAILURES[numbers[6] % 6] if numbers[6] % 6 < len(FAILURES) else None,
    }
