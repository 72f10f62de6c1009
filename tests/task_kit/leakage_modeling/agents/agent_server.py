"""A loopback provider that plays scripted agents and checks requests as strictly as the real API.

It finds out which conversation a request belongs to by a mark in its first reply, which every later request carries.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import TYPE_CHECKING, Any

from task_kit.leakage_modeling.agents.scripted import reply_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from task_kit.leakage_modeling.agents.scripted import Script

KEY = "sk-ant-loopback"
BODY_FIELDS = {"model", "max_tokens", "tools", "messages"}


class Provider:
    """What it was asked, and what it says next."""

    def __init__(self, scripts: Mapping[str, Script], *, faults: Sequence[int]) -> None:
        self.url = ""
        self.requests = 0
        self.complaints: list[str] = []
        self.ended: Counter[str] = Counter()
        self._scripts = scripts
        self._next = cycle(scripts)
        self._faults = list(faults)
        self._turn = threading.Lock()

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        with self._turn:
            self.requests += 1
            if headers.get("authorization") != f"Bearer {KEY}":
                return 401, error("authentication_error", "invalid key")
            if self._faults and (status := self._faults.pop(0)) != 200:
                return status, error("overloaded_error" if status == 529 else "api_error", "try again")
            asked = json.loads(body)
            if complaint := fault(asked):
                self.complaints.append(complaint)
                return 400, error("invalid_request_error", complaint)
            return 200, self._reply(asked, sent=len(body))

    def _reply(self, asked: dict[str, Any], *, sent: int) -> dict[str, Any]:
        messages = asked["messages"]
        name = next(self._next) if len(messages) == 1 else mark_of(messages)
        reply = reply_of(self._scripts[name], messages, sent=sent)
        blocks = list(reply.content or [{"type": "text", "text": reply.completion}])
        if len(messages) == 1:
            blocks = [{"type": "text", "text": f"[{name}]"}, *blocks]
        if any(block.get("name") == "submit_answer" for block in blocks):
            self.ended[name] += 1
        return {
            "id": f"msg_{self.requests}",
            "type": "message",
            "role": "assistant",
            "model": asked["model"],
            "content": blocks,
            "stop_reason": reply.stop_reason,
            "stop_sequence": None,
            "usage": reply.usage,
        }


def mark_of(messages: list[dict[str, Any]]) -> str:
    texts = [block["text"] for block in messages[1]["content"] if block["type"] == "text"]
    mark: str = texts[0].partition("]")[0].removeprefix("[")
    return mark


def error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def fault(asked: dict[str, Any]) -> str | None:
    """What the provider would refuse."""
    if set(asked) != BODY_FIELDS:
        return f"found the fields {sorted(asked)}"
    open_calls: list[str] = []
    role = "assistant"
    for number, message in enumerate(asked["messages"]):
        where = f"messages.{number}"
        if message["role"] == role:
            return f"{where}: two messages of {role!r} in a row"
        role = message["role"]
        results = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        if results != open_calls:
            return f"{where}: found results for {results}, expected {open_calls}"
        open_calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        if not message["content"] or any(block.get("text") == "" for block in message["content"]):
            return f"{where}: empty content"
    return None if role == "user" else "the last message is not the user's"


@contextmanager
def provider(scripts: Mapping[str, Script], *, faults: Sequence[int] = ()) -> Iterator[Provider]:
    """`faults`: the statuses of the first answers; 200 stands for a good one."""
    known = Provider(scripts, faults=faults)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, found = known.answer({name.lower(): value for name, value in self.headers.items()}, body)
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.send_header("request-id", f"req_{known.requests}")
            if status != 200:
                self.send_header("retry-after", "0")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    known.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield known
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
