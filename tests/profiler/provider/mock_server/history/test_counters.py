from __future__ import annotations

from profiler.provider.mock_server.history.counters import Stats, Tally


def test_a_tally_remembers_the_newest_and_counts_who_is_forgotten() -> None:
    tally = Tally(remember=10)
    for number in range(100):
        tally.of(str(number)).asked += 1

    kept = dict(tally.items())
    assert set(kept) >= {str(number) for number in range(95, 100)}
    assert len(kept) <= 10
    assert (tally.distinct, tally.forgotten) == (100, 100 - len(kept))


def test_who_is_asked_again_and_again_is_never_forgotten() -> None:
    tally = Tally(remember=10)
    for number in range(100):
        tally.of(str(number))
        tally.of("always").asked += 1

    assert tally.of("always").asked == 100


def test_sums_stay_right_when_names_are_forgotten() -> None:
    stats = Stats(remember=4)
    for number in range(50):
        for _ in range(2):
            stats.ask(str(number))
            stats.answer(str(number))

    asked = stats.as_json(now=0.0)["asked"]
    assert (asked["distinct"], asked["more_than_once"], asked["after_an_answer"]) == (50, 50, 50)
