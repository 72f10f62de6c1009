from __future__ import annotations

from profiler.provider.mock_server.admission.chance import draws


def test_draws_depend_on_the_seed_and_the_call_alone() -> None:
    assert draws(1, "a") == draws(1, "a")
    assert len({draws(1, "a"), draws(2, "a"), draws(1, "b")}) == 3
