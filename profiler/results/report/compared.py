"""The comparison of several runs, as far as it may be in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.errors import UsageError
from profiler.results.comparing.compare import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from profiler.results.comparing.findings import Question
    from profiler.results.report.privacy import Privacy
    from profiler.storage.reading.saved_run import SavedRun


def compared(runs: Sequence[SavedRun], question: Question, privacy: Privacy) -> dict[str, Any]:
    """Runs that cannot be compared are shown side by side all the same, with the reason; unless something was asked of
    the comparison, which then fails."""
    first, *others = runs
    if not others:
        return {}
    try:
        report = compare(first, others, question)
    except UsageError as error:
        if question.margins:
            raise
        return {"not_compared": f"Not compared: {error}" + (f" ({error.hint})" if error.hint else "")}
    found: dict[str, Any] = msgspec.to_builtins(report)
    for side in (found["base"], *(against["new"] for against in found["against"])):
        del side["folder"]  # a path says much of a machine
    for against in found["against"]:
        _cut(against, privacy)
    return {"comparison": found}


def _cut(against: dict[str, Any], privacy: Privacy) -> None:
    """Without ids, which the table has, and without what was asked to be left out."""
    for name in ("only_in_base_ids", "only_in_new_ids"):
        del against["pairing"][name]
    against["comparisons"] = [each for each in against["comparisons"] if each["metric"] not in privacy.drop]
    for each in against["comparisons"]:
        if each["flips"] is not None:
            del each["flips"]["to_true_ids"], each["flips"]["to_false_ids"]
    shown = [each for each in against["slices"] if each["shown"] and each["metric"] not in privacy.drop]
    against["slices"] = [] if "tags" in privacy.drop else shown
    if "tags" in privacy.drop:
        against["warnings"] = []  # some of them name tags
