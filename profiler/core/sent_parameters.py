"""The parameters of a request that are sent as they were written: which of them may be set so, and what is wrong with them.

`request` of a manifest or a dialogue may hold any key of the API that has no key of its own here. Tools, the choice among
them and the format of the answer are known, so mistakes in them are found before anything is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from profiler.core.complaint import Complaint, under
from profiler.core.json_schema import schema_fault
from profiler.core.mismatch_words import in_words
from profiler.core.shapes import Mismatch, field_check, table, tags
from profiler.core.wording import did_you_mean, found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BY_NAME = ("tools", "tool_choice", "output_format")  # may stand in the `request` of a dialogue too
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# Keys of the API that the manifest sets elsewhere, and where; "" means under the same name.
ELSEWHERE = {
    **dict.fromkeys(
        ("model", "max_tokens", "system", "temperature", "top_p", "top_k", "stop_sequences", "thinking"), ""
    ),
    **dict.fromkeys(("effort", "api_version", *BY_NAME), ""),
    "cache_control": "use the key cache",
    "anthropic_version": "use the key api_version",
    "messages": "the dataset says what is asked",
    "stream": "",
    "timeout": "use the key timeout_s",
    "extra_body": "its keys can stand in request themselves",
    "extra_query": "an address with a query is not supported",
    **dict.fromkeys(
        ("betas", "extra_headers", "user_profile_id", "workspace_id"),
        "it travels in a header: set ANTHROPIC_CUSTOM_HEADERS, such as 'anthropic-beta: NAME'",
    ),
}
OF_MANIFEST = ("speed", "fallbacks")  # prices must be known before the first call
OF_DIALOGUE = {
    "system": "put it beside request: system is a key of a dialogue",
    "messages": "put them beside request: user, messages or turns",
    "cache_control": "set cache in the manifest, or mark a block of the messages",
    "anthropic_version": "set api_version in the manifest",
    "timeout": "set timeout_s in the manifest",
}
# Parts of `output_config` that have keys of their own.
OF_OUTPUT_CONFIG = {"effort": "use the key effort", "format": "use the key output_format"}


def dialogue_faults(request: Mapping[str, Any]) -> Iterator[Complaint]:
    """All that is wrong with the `request` of a dialogue. Null takes away what the manifest has."""
    yield from request_faults(request, of_dialogue=True)
    tools, choice, output_format = (request.get(key) for key in BY_NAME)
    if tools is not None:
        yield from under("tools", tool_faults(tools))
    if choice is not None:
        yield from under("tool_choice", choice_faults(choice, tools))
    if output_format is not None:
        yield from under("output_format", format_faults(output_format))


def request_faults(request: Mapping[str, Any], *, of_dialogue: bool = False) -> Iterator[Complaint]:
    """Yield the keys of `request` that must be set elsewhere in the manifest."""
    for key in request:
        if of_dialogue and key in OF_MANIFEST:
            message = f"found {key!r}, which changes what a call costs"
            yield Complaint(at=(key,), message=message, hint=f"set request.{key} in the manifest", at_key=True)
        elif key in ELSEWHERE and not (of_dialogue and key in BY_NAME):
            yield Complaint(at=(key,), message=_OWNED.format(key), hint=_hint(key, of_dialogue), at_key=True)
    output = request.get("output_config")
    for key in OF_OUTPUT_CONFIG.keys() & (output if isinstance(output, dict) else {}).keys():
        hint = "set effort in the manifest" if of_dialogue and key == "effort" else OF_OUTPUT_CONFIG[key]
        yield Complaint(at=("output_config", key), message=_OWNED.format(key), hint=hint, at_key=True)
    if "output_config" in request and not isinstance(output, dict):
        yield Complaint(at=("output_config",), message=f"found {found(output)}, expected a mapping")


_OWNED = "found {!r}, which is not sent as it stands"


def _hint(key: str, of_dialogue: bool) -> str:
    if of_dialogue:
        return OF_DIALOGUE.get(key) or ELSEWHERE[key] or f"set {key} in the manifest"
    return ELSEWHERE[key] or f"put it beside request: {key} is a key of its own"


def known_keys() -> frozenset[str]:
    """The keys of a request that the official SDK knows, those of its beta features too."""
    return frozenset(table().structures["beta_message"].fields)


def tool_faults(tools: Any) -> Iterator[Complaint]:
    """What is wrong with each tool, and names that come twice."""
    if not isinstance(tools, list | tuple):
        yield Complaint(at=(), message=f"found {found(tools)}, expected a list of tools")
        return
    names: list[Any] = []
    for at, tool in enumerate(tools):
        yield from _one_tool(at, tool)
        name = tool.get("name") if isinstance(tool, dict) else None
        if name is not None and name in names:
            yield Complaint(at=(at, "name"), message=f"found the tool {name!r} a second time, expected each once")
        names.append(name)


def _one_tool(at: int, tool: Any) -> Iterator[Complaint]:
    try:
        field_check("beta_message", "tools")([tool])
    except Mismatch as mismatch:
        mismatch.path.pop(0)  # the place in the list of one tool that was checked
        yield from under(at, [in_words(tool, mismatch, known=tags("beta_message", "tools"))])
        return
    if tool.get("type", "custom") not in (None, "custom"):
        return
    if TOOL_NAME.fullmatch(tool["name"]) is None:
        message = f"found {found(tool['name'])}, expected a name of 1 to 128 letters, digits, '_' and '-'"
        yield Complaint(at=(at, "name"), message=message)
    schema = tool["input_schema"]
    if schema.get("type") != "object":
        message = f"found {found(schema.get('type'))}, expected 'object': a tool is called with named values"
        yield Complaint(at=(at, "input_schema", "type"), message=message)
    elif (fault := schema_fault(schema)) is not None:
        yield Complaint(at=(at, "input_schema"), message=f"found no JSON Schema: {fault}")


def choice_faults(choice: Any, tools: Any) -> Iterator[Complaint]:
    """What is wrong with a `tool_choice`. `tools` are those written beside it; without any, the dialogue or the
    manifest may still bring some."""
    try:
        field_check("beta_message", "tool_choice")(choice)
    except Mismatch as mismatch:
        yield in_words(choice, mismatch, known=("auto", "any", "tool", "none"))
        return
    if tools and choice["type"] == "tool":
        names = [tool.get("name") for tool in tools if isinstance(tool, dict)]
        if choice["name"] not in names:
            known = [name for name in names if isinstance(name, str)]
            message = f"found the tool {choice['name']!r}, expected one of {', '.join(known)}"
            yield Complaint(at=("name",), message=message, hint=did_you_mean(choice["name"], known))


def format_faults(output_format: Any) -> Iterator[Complaint]:
    try:
        field_check("OutputConfigParam", "format")(output_format)
    except Mismatch as mismatch:
        yield in_words(output_format, mismatch)
        return
    if output_format is not None and (fault := schema_fault(output_format["schema"])) is not None:
        yield Complaint(at=("schema",), message=f"found no JSON Schema that answers can be checked with: {fault}")
