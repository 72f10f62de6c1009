"""The models that the server knows: what each takes, where its limits are, and how the list of them is paged.

The ids come with the SDK's types. What a model takes is from the provider's public documents of autumn 2026; what is
only likely is marked so in docs/mock_server.md. An id that is added with `--model` takes everything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.provider.mock_server.settings import not_found
from profiler.provider.mock_server.wire.paging import page_by_id

if TYPE_CHECKING:
    from collections.abc import Sequence

EFFORTS = ("low", "medium", "high", "xhigh", "max")
NO_EFFORT: tuple[str, ...] = ()
THINKING_TYPES = ("adaptive", "between_tools", "disabled", "enabled")

_LINE = re.compile(r"claude-(haiku|sonnet|opus|fable|mythos)\b")
_DATED = re.compile(r"-(\d{4})(\d{2})(\d{2})$")


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes. The defaults refuse nothing that any model takes."""

    context: int = 1_000_000
    max_output: int = 128_000
    cache_minimum: int = 512  # tokens of a prefix, below which nothing is cached
    prefill: bool = True  # whether a conversation may end with the beginning of the answer
    system_turns: bool = True  # whether `system` messages may stand among the others
    forced_tools: bool = True
    sampling: bool = True
    one_sampling: bool = False  # whether temperature and top_p exclude each other
    thinking: Sequence[str] = THINKING_TYPES
    thinks: bool = False  # when the request does not say whether
    efforts: Sequence[str] = EFFORTS


ANY = Model()
_BUDGETS = Model(
    one_sampling=True,
    context=200_000,
    max_output=64_000,
    cache_minimum=4096,
    system_turns=False,
    thinking=("disabled", "enabled"),
    efforts=NO_EFFORT,
)
_4_6 = Model(
    one_sampling=True,
    cache_minimum=4096,
    prefill=False,
    system_turns=False,
    thinking=("adaptive", "disabled", "enabled"),
    efforts=("low", "medium", "high", "max"),
)
_4_7 = Model(cache_minimum=2048, prefill=False, system_turns=False, sampling=False, thinking=("adaptive", "disabled"))
_4_8 = Model(cache_minimum=1024, prefill=False, sampling=False, thinking=("adaptive", "disabled"))
_5 = Model(prefill=False, sampling=False, thinking=("adaptive", "disabled"), thinks=True)
_ALWAYS_THINKS = Model(prefill=False, sampling=False, thinking=("adaptive",), thinks=True)
_UNFORCED = Model(prefill=False, sampling=False, forced_tools=False, thinking=("adaptive",), thinks=True)
_replace = msgspec.structs.replace

KNOWN: dict[str, Model] = {
    "claude-fable-5-2": _UNFORCED,
    "claude-mythos-5-2": _UNFORCED,
    "claude-haiku-5-5": _5,
    "claude-sonnet-5-5": _replace(_UNFORCED, thinking=("adaptive", "between_tools")),
    "claude-fable-5-1": _UNFORCED,
    "claude-opus-5-5": _UNFORCED,
    "claude-mythos-5-1": _UNFORCED,
    "claude-sonnet-5": _replace(_5, cache_minimum=1024),
    "claude-fable-5": _ALWAYS_THINKS,
    "claude-mythos-5": _ALWAYS_THINKS,
    "claude-opus-5": _5,
    "claude-opus-4-8": _4_8,
    "claude-opus-4-7": _4_7,
    "claude-mythos-preview": _4_7,
    "claude-opus-4-6": _4_6,
    "claude-sonnet-4-6": _replace(_4_6, cache_minimum=1024),
    "claude-haiku-4-5-20251001": _BUDGETS,
    "claude-opus-4-5-20251101": _replace(_BUDGETS, efforts=("low", "medium", "high")),
    "claude-sonnet-4-5-20250929": _replace(_BUDGETS, cache_minimum=1024),
}
IDS = tuple(KNOWN)
ALIASES = {_DATED.sub("", model): model for model in IDS if _DATED.search(model)}


class Models:
    """The models of one server: those that the SDK knows, and those that were added."""

    def __init__(self, added: Sequence[str] = ()) -> None:
        self.ids = (*added, *(model for model in IDS if model not in added))
        self.known = KNOWN | {alias: KNOWN[model] for alias, model in ALIASES.items()} | dict.fromkeys(added, ANY)

    def find(self, model: str) -> Model:
        found = self.known.get(model)
        if found is None:
            raise not_found(f"model: {model[:100]}")
        return found

    def info(self, model: str) -> dict[str, Any]:
        takes = self.find(model)
        model = ALIASES.get(model, model)
        line, dated = _LINE.match(model), _DATED.search(model)
        return {
            "type": "model",
            "id": model,
            "display_name": _DATED.sub("", model).replace("-", " ").title(),
            "created_at": "{}-{}-{}T00:00:00Z".format(*dated.groups()) if dated else "1970-01-01T00:00:00Z",
            "lifecycle": "active",
            "line": line[1] if line else None,
            "allowed_fallback_models": None,
            "capabilities": _capabilities(takes),
            "deprecated_at": None,
            "retires_at": None,
            "max_input_tokens": takes.context,
            "max_tokens": takes.max_output,
        }

    def page(self, query: str) -> dict[str, Any]:
        return page_by_id(self.ids, query, show=self.info)


def _capabilities(takes: Model) -> dict[str, Any]:
    yes, no = {"supported": True}, {"supported": False}
    efforts = {level: yes if level in takes.efforts else no for level in EFFORTS}
    thinking = {kind: yes if kind in takes.thinking else no for kind in THINKING_TYPES}
    managed = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")
    return {
        **dict.fromkeys(("batch", "citations", "code_execution", "image_input", "pdf_input"), yes),
        "context_management": yes | dict.fromkeys(managed, yes),
        "effort": (yes if takes.efforts else no) | efforts,
        "server_tools": yes | {"code_execution": yes, "web_search": yes},
        "structured_outputs": yes,
        "thinking": yes | {"types": thinking},
    }
