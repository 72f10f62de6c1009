"""The Message Batches of a server: create, retrieve, list, cancel, delete and results, with the faults that they have.

A batch is answered item by item when it has ended and somebody looks, a few items at a time.
"""

from __future__ import annotations

import math
import re
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from profiler.core.json import dumps
from profiler.provider.mock_server.admission.calls import Call, ServerReply, json_reply
from profiler.provider.mock_server.admission.chance import draws
from profiler.provider.mock_server.endpoints import BATCHES
from profiler.provider.mock_server.settings import ApiError, invalid, not_found
from profiler.provider.mock_server.stored.batch import Batch, Item, Plan
from profiler.provider.mock_server.wire.paging import page_by_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from profiler.provider.mock_server.admission.admission import Admission
    from profiler.provider.mock_server.admission.faults import Fault
    from profiler.provider.mock_server.reading.requests import Version
    from profiler.provider.mock_server.settings import ServerSettings

MOST_ITEMS = 100_000
MOST_BATCHES = 10_000  # the oldest ones are forgotten, so that a server may run for long
AT_ONCE = 50  # items that are answered before others are served
LINES = "application/x-jsonl"
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    requests: Annotated[list[Item], Meta(min_length=1)]


class _Kept(NamedTuple):
    batch: Batch
    version: Version  # of its creation; it holds for each of its items


class Batches:
    """Answers for `/v1/messages/batches`. `answer_item` says how one item ended that was processed."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        admission: Admission,
        answer_item: Callable[[Item, Version], dict[str, Any]],
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._answer_item = answer_item
        self.reset()

    def reset(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._created = 0

    def create(self, call: Call) -> ServerReply:
        items = _read(call.body)
        waiting = sum(kept.batch.size for kept in self._kept.values() if kept.batch.status(call.wall) != "ended")
        limit = self._admission.limit_spec.batch_queue
        if limit is not None and waiting + len(items) > limit:
            raise ApiError(
                429,
                "rate_limit_error",
                f"This request would exceed your limit of {limit:,} batch requests in the processing queue",
                retry_after="60",
            )
        self._created += 1
        batch_id = f"msgbatch_{self._created:024d}"
        batch = Batch(
            batch_id,
            items,
            plan=self._plan(batch_id, call.fault),
            created_at=call.wall,
            order_seed=f"{self._settings.seed} {batch_id}",
        )
        self._kept[batch_id] = _Kept(batch, call.version)
        while len(self._kept) > MOST_BATCHES:
            del self._kept[next(iter(self._kept))]
        shown = self._shown(batch, call)
        shown["processing_status"], shown["ended_at"], shown["results_url"] = "in_progress", None, None
        shown["request_counts"] = {**shown["request_counts"], "processing": batch.size}
        return self._committed(shown, call)

    def _committed(self, shown: dict[str, Any], call: Call) -> ServerReply:
        """The batch exists; whether its creator hears of it is another question."""
        if call.fault.fault == "create-lost":
            return ServerReply(ends="close")
        if call.fault.fault == "create-500":
            error = ApiError(500, "api_error", "Internal server error")
            return ServerReply(body=dumps(error.body(call.request_id)), status=500)
        return json_reply(shown)

    def _plan(self, batch_id: str, fault: Fault) -> Plan:
        settings = self._settings
        takes_s = settings.batch_s
        if settings.batch_sigma:
            drawn = draws(settings.seed, batch_id).latency
            takes_s *= math.exp(settings.batch_sigma * NormalDist().inv_cdf(drawn))
        return Plan(
            takes_s=takes_s,
            done_share=fault.share if fault.fault == "batch-stuck" else 1.0,
            unseen_s=fault.for_s if fault.fault == "batch-unseen" else 0.0,
            cancel_takes_s=settings.batch_cancel_s,
        )

    def retrieve(self, call: Call) -> ServerReply:
        batch = self._find(call)
        return json_reply(lambda: self._shown(batch, call), work=self._settling(batch, call))

    def list(self, call: Call) -> ServerReply:
        ids = [kept.batch.id for kept in reversed(self._kept.values()) if kept.batch.seen(call.wall)]
        page = page_by_id(ids, call.query, show=lambda each: {"id": each})
        chosen = [self._kept[each["id"]].batch for each in page["data"]]

        def shown() -> dict[str, Any]:
            return {**page, "data": [self._shown(batch, call) for batch in chosen]}

        return json_reply(shown, work=(step for batch in chosen for step in self._settling(batch, call)))

    def cancel(self, call: Call) -> ServerReply:
        batch = self._find(call)
        if batch.status(call.wall) == "ended":
            raise invalid(f"Batch {batch.id} cannot be canceled: its processing has already ended")
        batch.cancel(call.wall)
        shown = self._shown(batch, call)
        if batch.status(call.wall) == "ended":  # the next look at it shows that; this answer never does
            shown |= {"processing_status": "canceling", "ended_at": None, "results_url": None}
            shown["request_counts"] = {**shown["request_counts"], "processing": batch.size}
        return json_reply(shown)

    def delete(self, call: Call) -> ServerReply:
        batch = self._find(call)
        if batch.status(call.wall) != "ended":
            raise invalid(f"Batch {batch.id} cannot be deleted while it is being processed; cancel it first")
        del self._kept[batch.id]
        return json_reply({"id": batch.id, "type": "message_batch_deleted"})

    def results(self, call: Call) -> ServerReply:
        batch = self._find(call)
        if batch.status(call.wall) != "ended":
            raise not_found(f"Batch {batch.id} has no results yet: it has not ended")
        if batch.archived(call.wall):
            raise not_found(f"The results of batch {batch.id} are no longer available")
        return ServerReply(
            chunks=_with_fault(batch.results.pieces(), call.fault), work=self._settling(batch, call), content_type=LINES
        )

    def _find(self, call: Call) -> Batch:
        kept = self._kept.get(call.named)
        if kept is None or not kept.batch.seen(call.wall):
            raise not_found(f"Batch with id {call.named[:100]} was not found")
        return kept.batch

    def _settling(self, batch: Batch, call: Call) -> Iterator[None]:
        """Answer the items of a batch that has ended, some at a time."""
        if batch.status(call.wall) != "ended" or batch.id not in self._kept:
            return
        version = self._kept[batch.id].version
        while not batch.settled:
            batch.settle(lambda item: self._answer_item(item, version), at_most=AT_ONCE)
            yield

    def _shown(self, batch: Batch, call: Call) -> dict[str, Any]:
        return batch.shown(call.wall, results_url=f"{call.base_url}{BATCHES}/{batch.id}/results")


def _read(body: bytes) -> list[Item]:
    try:
        items = _decoder.decode(body).requests
    except msgspec.ValidationError as error:
        raise invalid(_in_words_of_the_api(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None
    if len(items) > MOST_ITEMS:
        raise invalid(f"requests: found {len(items):,} requests, a batch may have {MOST_ITEMS:,}")
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        if _CUSTOM_ID.fullmatch(item.custom_id) is None:
            raise invalid(f"requests.{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if (first := places.setdefault(item.custom_id, place)) != place:
            raise invalid(f"requests.{place}.custom_id: {item.custom_id!r} is already the id of requests.{first}")
        if not bytes(item.params).lstrip().startswith(b"{"):
            raise invalid(f"requests.{place}.params: Input should be a valid dictionary")
    return items


def _in_words_of_the_api(error: msgspec.ValidationError) -> str:
    """A mistake in the words of the API: `requests.0.params: Field required`."""
    problem, _, at = str(error).partition(" - at ")
    place = _INDEX.sub(r".\1", at.strip("`").removeprefix("$").removeprefix("."))
    field = _FIELD.search(problem)
    for opening, words in _WORDS:
        if problem.startswith(opening):
            return f"{'.'.join(filter(None, (place, field[1] if field else '')))}: {words}"
    return f"{place}: {problem}".removeprefix(": ")


def _with_fault(pieces: Iterator[bytes], fault: Fault) -> Iterator[bytes]:
    """Results as they are, or with what can be wrong with them: a share of the lines, but at least one."""
    name = fault.fault
    if not name.startswith("results-"):
        yield from pieces
        return
    lines = b"".join(pieces).splitlines(keepends=True)
    count = min(len(lines), max(1, round(len(lines) * fault.share)))
    match name:
        case "results-missing":
            yield b"".join(lines[count:])
        case "results-double":
            yield b"".join([*lines, *lines[:count]])
        case "results-unknown":
            stray = {"result": {"type": "canceled"}}
            unknown = [dumps({"custom_id": f"never-sent-{number}", **stray}) + b"\n" for number in range(count)]
            yield b"".join([*unknown, *lines])
        case _:
            kept = b"".join(lines[:-count])
            yield kept + lines[-count][: len(lines[-count]) // 2]


_decoder = msgspec.json.Decoder(_Create)
_INDEX = re.compile(r"\[([0-9]+)\]")
_FIELD = re.compile(r"field `([^`]+)`")
_WORDS = (  # how msgspec begins, and what the API says
    ("Object missing required field", "Field required"),
    ("Object contains unknown field", "Extra inputs are not permitted"),
    ("Expected `array` of length >= 1", "List should have at least 1 item after validation, not 0"),
    ("Expected `array`", "Input should be a valid list"),
    ("Expected `str`", "Input should be a valid string"),
    ("Expected `object`", "Input should be a valid dictionary"),
)
