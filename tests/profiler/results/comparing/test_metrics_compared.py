from __future__ import annotations

from profiler.results.comparing.metrics_compared import directions


def test_what_the_asker_says_of_a_metric_overrules_its_run_and_that_what_is_usual() -> None:
    facts = [{"metrics": [], "better": {"length": "lower", "latency_s": "higher"}}]
    assert directions(facts, search_path=None)[0].items() >= {("length", "lower"), ("latency_s", "higher")}
    assert directions(facts, search_path=None, told={"length": "higher"})[0]["length"] == "higher"
