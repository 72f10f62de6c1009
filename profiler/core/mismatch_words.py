"""Says where in a document a `Mismatch` is and what is wrong there, in the words of this program instead of the API's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.core.complaint import Complaint
from profiler.core.wording import did_you_mean, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.core.shapes import Mismatch

_PLAIN = {"a valid dictionary": "a mapping", "a valid list": "a list", "a valid string": "a string"}


def in_words(value: Any, mismatch: Mismatch, *, known: Sequence[str] = ()) -> Complaint:
    """`known` are the types that a block may have, for a guess at what was meant."""
    path, inner = _in_document(value, mismatch.path)
    if mismatch.problem == "Field required":
        return Complaint(at=path[:-1], message=f"found no {path[-1]!r}, expected it")
    if mismatch.problem.startswith("Extra inputs"):
        keys = [key for key in inner if key != path[-1]] if isinstance(inner, dict) else []
        message = f"found the key {path[-1]!r}, which the API does not know"
        return Complaint(at=path, message=message, hint=did_you_mean(path[-1], keys), at_key=True)
    if mismatch.problem.startswith("Input tag"):
        tag = inner.get("type") if isinstance(inner, dict) else None
        hint = did_you_mean(tag, known)
        return Complaint(at=(*path, "type"), message=f"found the unknown type {found(tag)}", hint=hint)
    wanted = mismatch.problem.removeprefix("Input should be ")
    return Complaint(at=path, message=f"found {found(inner)}, expected {_PLAIN.get(wanted, wanted)}")


def _in_document(value: Any, path: Sequence[str | int]) -> tuple[tuple[str | int, ...], Any]:
    """The steps of the path that exist in the document, and what they lead to: the API's path also names types of blocks."""
    steps: list[str | int] = []
    tagged = False
    for at, step in enumerate(path):
        if not tagged and isinstance(value, dict) and value.get("type") == step:
            tagged = True
        elif isinstance(step, int) or (isinstance(value, dict) and step in value):  # numbers are of lists, and right
            value, tagged = value[step], False
            steps.append(step)
        elif at == len(path) - 1:
            steps.append(step)
    return tuple(steps), value
