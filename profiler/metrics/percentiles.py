"""The percentiles of one measure, such as the time to the first token, and the intervals around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from profiler.metrics.histogram import Histogram, bucket_of
from profiler.metrics.order_statistics import enclosing_ranks
from profiler.metrics.resamples import Resamples

if TYPE_CHECKING:
    from collections.abc import Iterable

OpenInterval = tuple[float | None, float | None]


class Percentiles:
    """The values of answers, and, where dialogues were asked several times, the same by dialogue."""

    def __init__(self) -> None:
        self.histogram = Histogram()
        self.resamples = Resamples()

    def add(self, values: list[float]) -> None:
        """Raises ValueError, and adds none of them, when one is not a plausible number."""
        self.histogram.update(values)

    def add_by_dialogue(self, values: Iterable[tuple[str, float]]) -> None:
        """The same values once more, with the dialogues that they belong to."""
        for dialogue_id, value in values:
            self.resamples.add(dialogue_id, bucket_of(value))

    def merge(self, other: Percentiles) -> None:
        self.histogram.merge(other.histogram)
        self.resamples.merge(other.resamples)

    def as_json(self) -> dict[str, Any]:
        return {"histogram": self.histogram.as_json(), "resamples": self.resamples.as_json()}

    @staticmethod
    def from_json(found: dict[str, Any]) -> Percentiles:
        made = Percentiles()
        made.histogram = Histogram.from_json(found["histogram"])
        made.resamples = Resamples.from_json(found["resamples"])
        return made

    def interval(self, q: float) -> OpenInterval:
        """The 95 % interval of a percentile. An end that so few values cannot tell is None.

        With one answer a dialogue, these are order statistics; with several, a bootstrap over dialogues.
        """
        histogram, dialogues = self.histogram, self.resamples.dialogues
        low, high = enclosing_ranks(dialogues or histogram.n, q)
        if dialogues and (found := self.resamples.interval(q)) is not None:
            below, above = map(histogram.within, found)
            return None if low is None else below, None if high is None else above
        return (
            None if low is None else histogram.at_rank(low),
            None if high is None else histogram.at_rank(high),
        )
