from __future__ import annotations

from collections import Counter

from profiler.results.report.timeline import MOST_BINS, Timeline

ENDS = (0.03, 0.04, 5.0, 9.99, 10.01, 40.0, 40.5, 200.0)


def test_nothing_is_lost_or_moved_where_bins_become_wider() -> None:
    timeline = Timeline()
    for place, at in enumerate(ENDS):
        timeline.add({"at_s": at, "latency_s": 1.0, "attempts": 1 + place, "type": "answer" if place % 2 else "error"})

    shown = timeline.as_json()
    assert shown is not None
    width = shown["width_s"]
    bins = range(len(shown["per_s"]))
    assert width == 2.0
    assert max(ENDS) / width < len(bins) <= MOST_BINS + 1

    def counted(times: list[float]) -> list[int]:
        found = Counter(int(at / width) for at in times)
        return [found[bin_] for bin_ in bins]

    ended, begun = counted(list(ENDS)), counted([max(0.0, at - 1) for at in ENDS])
    assert [per_s * width for per_s in shown["per_s"]] == ended
    assert shown["errors"] == counted(list(ENDS[::2]))
    assert shown["retries"] == counted([at for place, at in enumerate(ENDS) for _ in range(place)])
    assert shown["in_flight"] == [sum(begun[: bin_ + 1]) - sum(ended[:bin_]) for bin_ in bins]
