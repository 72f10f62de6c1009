"""What of a run goes into a report: texts or none, fields that were asked to be left out, and never a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from profiler.core.errors import UsageError
from profiler.core.json import dumps
from profiler.provider.redact import BLOT, Redactor
from profiler.results.values import MADE_OF, TEXT_FIELDS, TEXT_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from profiler.storage.reading.item import Item

TEXTS_OF_RUN: Final = ("system", "tools", "request", "stop_sequences", "output_format")
NEEDED: Final = ("dialogue_id", "index", "repeat", "type")
LEFT_OUT_ALWAYS: Final = "request_hash"  # 64 random letters of no use to a reader, which no compression makes smaller
SECRET_NAME: Final = re.compile(r"(?i)(key|token|secret|password|authorization|cookie)$")
SHORTEST_SECRET: Final = 8
SIGNS: Final = ("sk-ant-", "earer ")  # every key that the redactor knows by its looks has one of them


class Privacy:
    """Cuts items and summaries in place."""

    def __init__(self, *, texts: bool = True, drop: Sequence[str] = (), environ: Mapping[str, str]) -> None:
        for name in drop:
            if name in NEEDED:
                raise UsageError(f"--drop {name}: a report cannot do without it")
        self.texts = texts
        self.drop = list(dict.fromkeys(drop))
        self._unmet = {*drop}
        self._paths = [(name, tuple(path.split("."))) for name in self.drop for path in MADE_OF.get(name, (name,))]
        secrets = [
            value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= SHORTEST_SECRET
        ]
        secrets += [dumps(secret).decode()[1:-1] for secret in secrets]  # as they stand in JSON
        self._redact = Redactor(*secrets)
        self._signs = (*SIGNS, *secrets)

    def redact(self, text: str) -> str:
        """Looking for the signs of a secret first takes a hundredth of the time that replacing takes."""
        return self._redact(text) if any(sign in text for sign in self._signs) else text

    def cut(self, item: Item) -> Item:
        item.request.pop(LEFT_OUT_ALWAYS, None)
        for name, path in self._paths:
            for part in (item.request, item.record, item.scores):
                if _remove(part, path):
                    self._unmet.discard(name)
        if not self.texts:
            for path in (*((name,) for name in TEXT_FIELDS), *TEXT_PARTS):
                _remove(item.request, path)
                _remove(item.record, path)
        for message in (item.request.get("prompt") or {}).get("messages") or ():
            _leave_media_out(message.get("content"))
        return item

    def cut_summary(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Without what was asked to be left out, and without secrets, as a copy."""
        kept = dict(summary)
        identity = dict((kept.get("run") or {}).get("identity") or {})
        kept["run"] = {**(kept.get("run") or {}), "identity": identity}
        dropped = [name for name in self.drop if "." not in name]
        for name in dropped + list(() if self.texts else TEXTS_OF_RUN):
            identity.pop(name, None)
            kept.pop(name, None)
            kept.get("metrics", {}).pop(name, None)
        if "tags" in dropped:
            kept.pop("by_tag", None)
            kept.pop("by_tag_other", None)
        cleaned: dict[str, Any] = _without_secrets(kept, self._redact)
        return cleaned

    def refuse_unmet(self) -> None:
        """A name that nothing has is mistyped, and what it meant would be in the file."""
        if self._unmet:
            names = ", ".join(sorted(self._unmet))
            raise UsageError(
                f"--drop {names}: no line of the runs has such a field",
                hint="name a field of requests.jsonl, responses.jsonl or scores.jsonl, such as prompt.system or "
                "metadata.customer",
            )


def _leave_media_out(content: Any) -> None:
    """Pictures and documents would make the file too large; their kind and size are told."""
    for block in content if isinstance(content, list) else ():
        source = block.get("source")
        if isinstance(source, dict) and isinstance(data := source.get("data"), str) and source.get("type") == "base64":
            source["data"] = f"{len(data):,} characters of base64, left out of the report"
        _leave_media_out(block.get("content"))


def _remove(part: dict[str, Any], path: tuple[str, ...]) -> bool:
    *way, last = path
    here: Any = part
    for step in way:
        here = here.get(step) if isinstance(here, dict) else None
    if not isinstance(here, dict) or last not in here:
        return False
    del here[last]
    return True


def _without_secrets(value: Any, redact: Redactor) -> Any:
    match value:
        case dict():
            return {
                key: BLOT if isinstance(each, str) and SECRET_NAME.search(str(key)) else _without_secrets(each, redact)
                for key, each in value.items()
            }
        case list() | tuple():
            return [_without_secrets(each, redact) for each in value]
        case str():
            return redact(value)
        case _:
            return value
