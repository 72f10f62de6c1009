"""Writes the table of request shapes that requests are checked against, from the types of the official SDK: `make shapes`.

A test walks the installed SDK in the same way, and turns red when it knows a field or a value that the table lacks.
What travels in the body and what in a header is asked of the SDK itself, by looking at the bytes that it would send.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import anthropic
import httpx2
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_create_params
from typing_extensions import get_type_hints, is_typeddict

TABLE = Path(__file__).resolve().parents[3] / "profiler" / "core" / "sdk_shapes.json"

PLAIN = {str: "str", int: "int", float: "float", bool: "bool", type(None): "null", object: "any", Any: "any"}
PLAIN |= {datetime: "str"}
WHOLE: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}], "model": "claude-opus-5"}

Shape = Any  # a name such as "str" or "#TextBlockParam", or a list that says which kind: ["[]", shape], ["=", 1, 2] …


class Walk:
    """Follows types from the roots and keeps each structure that it meets, by name."""

    def __init__(self) -> None:
        self.structures: dict[str, Any] = {}
        self._named: dict[Any, str] = {}

    def shape(self, kind: Any) -> Shape:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Annotated, Required, NotRequired):
            return self.shape(arguments[0])
        if origin in (Union, UnionType):
            return self._union([self.shape(each) for each in arguments if not _is_file(each)])
        if origin is Literal:
            return ["=", *sorted(arguments, key=str)]
        if origin is None:
            return PLAIN.get(kind) or f"#{self._structure(kind)}"
        return ["{}", self.shape(arguments[1])] if issubclass(origin, Mapping) else ["[]", self.shape(arguments[0])]

    def _union(self, shapes: list[Shape]) -> Shape:
        unique = [shape for at, shape in enumerate(shapes) if shape not in shapes[:at]]
        if "str" in unique:  # then the texts that are listed beside it are only suggestions
            unique = [shape for shape in unique if shape[0] != "="]
        if ["{}", "any"] in unique:  # named fields, and any others beside them
            for each in unique:
                if isinstance(each, str) and each.startswith("#"):
                    self.structures[each[1:]]["open"] = True
        return unique[0] if len(unique) == 1 else ["|", *unique]

    def _structure(self, kind: Any) -> str:
        if kind in self._named:
            return self._named[kind]
        name: str = kind.__qualname__
        if name in self.structures:  # two modules of the SDK use it for different things
            name = f"{kind.__module__.rpartition('.')[2]}.{name}"
        self._named[kind] = name
        self.structures[name] = {}
        fields, is_open = _fields(kind)
        entry = {"fields": {each: [need, self.shape(hint)] for each, (need, hint) in fields.items()}}
        self.structures[name] = entry | ({"open": True} if is_open else {})
        return name


def _fields(kind: Any) -> tuple[dict[str, tuple[bool, Any]], bool]:
    """Of a structure each field with whether it must be given, and whether others may stand beside them."""
    if is_typeddict(kind):
        hints = get_type_hints(kind, include_extras=True)
        config = getattr(kind, "__pydantic_config__", {})
        # annotations are strings in the SDK, so `__required_keys__` cannot know what stands in them
        return {name: (_is_required(hint, whole=kind.__total__), hint) for name, hint in hints.items()}, config.get(
            "extra"
        ) == "allow"
    given = {name: (field.is_required(), field.annotation) for name, field in kind.model_fields.items()}
    return given, False  # the blocks of an answer, which are sent back as they came


def _is_required(hint: Any, *, whole: bool) -> bool:
    return get_origin(hint) is Required or (whole and get_origin(hint) is not NotRequired)


def _is_file(kind: Any) -> bool:
    """What the SDK reads from disk and sends as text."""
    return "IO" in str(kind) or "PathLike" in str(kind)


def in_body(call: Any, names: Iterable[str]) -> set[str]:
    """Which of these arguments of a method of the SDK travel in the body."""
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(400, json={"type": "error", "error": {"type": "invalid_request_error", "message": ""}})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = anthropic.Anthropic(api_key="mock", max_retries=0, http_client=http)
    given = dict.fromkeys(names, "x") | WHOLE | {"betas": ["x"], "stream": False, "timeout": 1}
    given = {name: value for name, value in given.items() if name in names or name == "timeout"}
    try:
        call(client)(**given)
    except anthropic.BadRequestError:
        pass
    finally:
        client.close()
    return set(json.loads(sent[0]))


def walk() -> dict[str, Any]:
    """The whole table, as the installed SDK has it."""
    roots: dict[str, tuple[Any, Any]] = {
        "message": (message_create_params.MessageCreateParamsBase, lambda it: it.messages.create),
        "beta_message": (beta_create_params.MessageCreateParamsBase, lambda it: it.beta.messages.create),
        "count_tokens": (message_count_tokens_params.MessageCountTokensParams, lambda it: it.messages.count_tokens),
        "beta_count_tokens": (
            beta_count_tokens_params.MessageCountTokensParams,
            lambda it: it.beta.messages.count_tokens,
        ),
    }
    found = Walk()
    named: dict[str, Any] = {}
    for root, (kind, call) in roots.items():
        fields = _fields(kind)[0]
        if root.endswith("message"):
            fields = fields | {"stream": (False, bool)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = in_body(call, fields)
        named[root] = {
            "fields": {name: [need, found.shape(hint)] for name, (need, hint) in fields.items() if name in kept}
        }
    # no method has it any more, but older clients send it and the types still say what it is
    named["beta_message"]["fields"]["output_format"] = [
        False,
        ["|", found.shape(beta_create_params.OutputFormat), "null"],
    ]
    models = sorted(get_args(get_args(anthropic.types.ModelParam)[0]))
    return {
        "sdk": anthropic.__version__,
        "models": models,
        "structures": {**named, **dict(sorted(found.structures.items()))},
    }


def written(table: dict[str, Any]) -> str:
    """One structure a line, so that a change of the SDK reads well in a diff."""
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in table["structures"].items()]
    head = {name: value for name, value in table.items() if name != "structures"}
    body = ",\n".join(lines)
    return json.dumps(head)[:-1] + ', "structures": {\n' + body + "\n}}\n"


if __name__ == "__main__":
    TABLE.write_text(written(walk()), encoding="utf-8")
