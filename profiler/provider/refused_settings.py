"""Warns of settings that a model is known to refuse, going by its name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from profiler.manifest.settings import Experiment

# The models from 4.7 on refuse sampling parameters and thinking budgets, whatever their value.
FIRST_WITHOUT_SAMPLING = (4, 7)
_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLD_VERSION = re.compile(r"claude-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


def refused_settings(experiment: Experiment) -> Iterator[str]:
    """Warnings for settings that the model refuses, or takes only with an older version of the API."""
    sampling = [name for name in ("temperature", "top_p", "top_k") if getattr(experiment, name) is not None]
    thinking = experiment.thinking or {}
    if sampling and _refuses_sampling(experiment.model):
        yield f"{experiment.model} refuses {', '.join(sampling)} (400 for every request): leave them out"
    elif sampling:
        yield f"{', '.join(sampling)}: sent with anthropic-version 2023-06-01, which takes them"
    if "budget_tokens" in thinking and _refuses_sampling(experiment.model):
        yield f"{experiment.model} refuses thinking.budget_tokens: use thinking: {{type: adaptive}}"
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int) and budget >= experiment.max_tokens:
        yield f"thinking.budget_tokens is {budget:,}, expected less than max_tokens ({experiment.max_tokens:,})"


def _refuses_sampling(model: str) -> bool:
    """Goes by the version in the model's name; a name without one is taken to accept everything."""
    if model.startswith("claude-mythos-preview"):
        return True
    found = _VERSION.match(model) or _OLD_VERSION.match(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) >= FIRST_WITHOUT_SAMPLING
