"""The endpoints that are answered: what each is called, and which request goes to which."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from profiler.core.wording import did_you_mean
from profiler.provider.mock_server.settings import ApiError, not_found

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
BATCHES = "/v1/messages/batches"
MODELS = "/v1/models"
FILES = "/v1/files"


class ServerEndpoint(NamedTuple):
    """`name` is what faults, limits and the journal call it; `counted_as` is its line in the counters."""

    name: str
    method: str
    path: str
    counted_as: str


def _endpoint(name: str, method: str, path: str, *, counted_as: str | None = None) -> ServerEndpoint:
    return ServerEndpoint(name, method, path, counted_as or path)


MESSAGE = _endpoint("messages", "POST", MESSAGES)
ALL = (
    MESSAGE,
    _endpoint("count_tokens", "POST", COUNT_TOKENS),
    _endpoint("models.list", "GET", MODELS),
    _endpoint("models.retrieve", "GET", f"{MODELS}/{{id}}", counted_as=MODELS),
    _endpoint("batches.create", "POST", BATCHES),
    _endpoint("batches.list", "GET", BATCHES),
    _endpoint("batches.retrieve", "GET", f"{BATCHES}/{{id}}"),
    _endpoint("batches.delete", "DELETE", f"{BATCHES}/{{id}}"),
    _endpoint("batches.cancel", "POST", f"{BATCHES}/{{id}}/cancel"),
    _endpoint("batches.results", "GET", f"{BATCHES}/{{id}}/results"),
    _endpoint("files.upload", "POST", FILES),
    _endpoint("files.list", "GET", FILES),
    _endpoint("files.retrieve_metadata", "GET", f"{FILES}/{{id}}"),
    _endpoint("files.delete", "DELETE", f"{FILES}/{{id}}"),
    _endpoint("files.download", "GET", f"{FILES}/{{id}}/content"),
)
BATCH_ITEM = "batches.item"  # no endpoint, but each request of a batch meets faults of its own
NAMES = (*(endpoint.name for endpoint in ALL), BATCH_ITEM)
GROUPS = ("*", "models", "batches", "files")
NOWHERE = ServerEndpoint("other", "", "", "other")  # unknown paths are counted together, or they would fill the memory

_BY_PATH: dict[str, list[ServerEndpoint]] = {}
for _each in ALL:
    _BY_PATH.setdefault(_each.path, []).append(_each)
_ALLOWED = {path: " or ".join(each.method for each in group) for path, group in _BY_PATH.items()}
_PARENTS = (BATCHES, MODELS, FILES)


@lru_cache(maxsize=256)
def find(method: str, path: str) -> tuple[ServerEndpoint, str]:
    """The endpoint of a request, and the id in its path if there is one. Not found is not yet an error: see `refuse`."""
    template, named = _split(path)
    group = _BY_PATH.get(template, ())
    for endpoint in group:
        if endpoint.method == method:
            return endpoint, named
    return (NOWHERE._replace(counted_as=group[0].counted_as) if group else NOWHERE), ""


def refuse(method: str, path: str) -> ApiError:
    """Why there is no endpoint for a request."""
    template, _ = _split(path)
    if template not in _ALLOWED:
        return not_found(f"{path[:200]}: there is no such endpoint")
    return ApiError(405, "invalid_request_error", f"{path[:200]}: found {method[:20]}, expected {_ALLOWED[template]}")


def _split(path: str) -> tuple[str, str]:
    if path in _BY_PATH:
        return path, ""
    for parent in _PARENTS:
        if path.startswith(f"{parent}/"):
            named, slash, rest = path[len(parent) + 1 :].partition("/")
            if parent == MODELS:  # the id of a model may hold slashes
                return f"{MODELS}/{{id}}", path[len(parent) + 1 :]
            return (f"{parent}/{{id}}{slash}{rest}", named) if named else ("", "")
    return "", ""


def covers(selector: str, name: str) -> bool:
    """Whether `batches` or `batches.create` or `*` means the endpoint of this name."""
    return selector in ("*", name) or name.startswith(f"{selector}.")


def check_selector(selector: str) -> str | None:
    """None if it selects something, else what is wrong with it."""
    if selector in GROUPS or selector in NAMES:
        return None
    hint = did_you_mean(selector, (*GROUPS, *NAMES)) or f"endpoints are: {', '.join((*GROUPS, *NAMES))}"
    return f"found {selector!r}, expected the name of an endpoint; {hint}"
