"""Predicates that find what a world or a grading contains by looking at its values and files, not at how it was drawn.

Each predicate is one kind; `docs/grading.md` names them beside the sentences of the prompt that they exercise.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from grader.experiment_profiler.boxes import plan
from grader.experiment_profiler.boxes.box import KEY, Kind, Source
from grader.experiment_profiler.worlds import truth
from grader.experiment_profiler.worlds.manifests import FIELDS_ALWAYS, FIELDS_PERHAPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grader.experiment_profiler.boxes.box import Box, Run
    from grader.experiment_profiler.worlds.foreign_logs import Logs
    from grader.experiment_profiler.worlds.world import World

SEPARATORS = "\u2028\u2029\x85\x1c\x1d\x1e\x0b\x0c"


@dataclass(frozen=True)
class Grading:
    """All that one grading tries."""

    drawn: plan.Drawn
    boxes: list[Box]

    @property
    def fresh(self) -> tuple[World, ...]:
        return (*self.drawn.full[1:], *self.drawn.small)

    @property
    def dialogues(self) -> list[dict[str, Any]]:
        return [dialogue for world in self.fresh for dialogue in world.dialogues]

    @property
    def runs(self) -> list[Run]:
        return [run for box in self.boxes for run in box.runs]

    @cached_property  # a box draws them anew whenever it is asked
    def logs(self) -> list[Logs]:
        return [logs for box in self.boxes for logs in box.logs]

    def manifests(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for world in self.fresh:
            yield world.files[world.manifest_path].decode(), world.manifest

    def answers(self) -> Iterator[tuple[dict[str, Any], str]]:
        """What is required and what is said, of prepared answers and of given logs."""
        for world in self.fresh:
            for dialogue in world.dialogues:
                if dialogue["dialogue_id"] in world.answers:
                    yield dialogue, world.answers[dialogue["dialogue_id"]]["completion"]

    def facts(self) -> Iterator[tuple[str, str]]:
        return ((fact, text) for dialogue, text in self.answers() for fact in dialogue["required_facts"])


def grading(seed: str, root: Path) -> Grading:
    drawn = plan.draw(seed, count=3)
    return Grading(drawn=drawn, boxes=plan.boxes(drawn, seed=seed, root=root))


def held(fact: str, text: str) -> bool:
    return fact.casefold() in text.casefold()


def otherwise(change: Callable[[str], str]) -> Callable[[Grading], bool]:
    """Some fact is held by one way to look, and not by the other."""
    return lambda g: any(held(fact, text) != (change(fact) in change(text)) for fact, text in g.facts())


def bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))


def numbers(name: str) -> Callable[[Grading], list[float]]:
    return lambda g: [manifest[name] for _, manifest in g.manifests()]


def pairs(g: Grading, source: Source) -> Iterator[Any]:
    for run in g.runs:
        if run.source is source:
            yield from (reply for reply in run.replies.values() if reply is not None)


def with_all_fields(run: Run) -> bool:
    return len(run.world.manifest["output_fields"]) == 8


CUTS: dict[str, Callable[[str], str]] = {
    "first letter": lambda fact: fact[1:],
    "last letter": lambda fact: fact[:-1],
    "first word": lambda fact: fact.partition(" ")[2],
    "last word": lambda fact: fact.rpartition(" ")[0],
}
DISAGREE = {("answer", "refusal"), ("refusal", "end_turn"), ("answer", "max_tokens"), ("truncated", "end_turn")}

KINDS: dict[str, Callable[[Grading], bool]] = {
    # manifests
    "comments, anchors, blocks, flow": lambda g: all(
        re.search(pattern, "".join(text for text, _ in g.manifests()))
        for pattern in (r"(?m)^# ", r"&same", r"\*same", r"[|>]-\n", r"(?m)^ *- ", r"\[", r"['\"]\w+['\"]:")
    ),
    "numbers in other notations": lambda g: any(
        re.search(r"0x|0b|_\d|\+\d|!!int|: 0\d", text) for text, _ in g.manifests()
    ),
    "names like numbers": lambda g: any(
        re.fullmatch(r"\d+e\d+|0o[0-7]+", manifest["experiment_id"]) for _, manifest in g.manifests()
    ),
    "other key orders": lambda g: len({tuple(yaml.safe_load(text)) for text, _ in g.manifests()}) > 2,
    "paths through other folders": lambda g: any(
        "/" in m["dataset_path"] + m["mock"]["responses_path"] for _, m in g.manifests()
    ),
    "manifests told absolutely and relatively": lambda g: (
        {b.absolute for b in g.boxes if b.kind is Kind.RUN} == {True, False}
    ),
    "temperature 0": lambda g: 0 in numbers("temperature")(g),
    "temperature above 1": lambda g: any(value > 1 for value in numbers("temperature")(g)),
    "temperature with many digits": lambda g: any(len(repr(value)) > 8 for value in numbers("temperature")(g)),
    "whole numbers beyond 32 bits": lambda g: (
        all(any(value > 2**32 for value in numbers(name)(g)) for name in ("log_schema_version",))
        and any(value > 100_000 for value in numbers("max_tokens")(g))
    ),
    "every output field": lambda g: any(map(with_all_fields, g.runs)),
    "few output fields": lambda g: any(len(run.world.manifest["output_fields"]) < 8 for run in g.runs),
    # datasets
    "hundreds of dialogues": lambda g: any(len(world.dialogues) > 200 for world in g.fresh),
    "no dialogues": lambda g: any(not world.dialogues for world in g.fresh),
    "long texts": lambda g: (
        any(len(text) > 20_000 for _, text in g.answers())
        and any(len(dialogue["user"]) > 20_000 for dialogue in g.dialogues)
    ),
    "separators in texts": lambda g: (
        set(SEPARATORS)
        <= set("".join(dialogue["user"] for dialogue in g.dialogues) + "".join(text for _, text in g.answers()))
    ),
    "white space at ends": lambda g: (
        any(d["user"] != d["user"].strip() for d in g.dialogues)
        and all(
            any(reply.completion != strip(reply.completion) for reply in pairs(g, source))
            for source in Source
            for strip in (str.rstrip, *([str.lstrip] if source is Source.PREPARED else []))
        )
    ),
    "many scripts": lambda g: (
        len({unicodedata.name(c, "?").split()[0] for d in g.dialogues for c in d["user"] if c.isalpha()}) > 5
    ),
    "ids that are nearly the same": lambda g: (
        any(
            len({change(d["dialogue_id"]) for d in world.dialogues}) < len(world.dialogues)
            for world in g.fresh
            for change in (str.casefold,)
        )
        and any(len({d["dialogue_id"].strip() for d in w.dialogues}) < len(w.dialogues) for w in g.fresh)
        and any(len({bare(d["dialogue_id"]) for d in w.dialogues}) < len(w.dialogues) for w in g.fresh)
    ),
    "two that ask the same": lambda g: any(
        len({(d["system"], d["user"]) for d in world.dialogues}) < len(world.dialogues) for world in g.fresh
    ),
    "no prepared answer": lambda g: any(d["dialogue_id"] not in w.answers for w in g.fresh for d in w.dialogues),
    "answers that nobody asks for": lambda g: all(
        set(world.answers) - {d["dialogue_id"] for d in world.dialogues} for world in g.fresh
    ),
    "empty system prompts": lambda g: any(d["system"] == "" for d in g.dialogues),
    "safety prompts": lambda g: any(d.get("expect_refusal") for d in g.dialogues),
    # clients and runs
    "a key and none": lambda g: {KEY in box.environment for box in g.boxes if box.kind is Kind.RUN} == {True, False},
    "an empty key": lambda g: any(box.environment.get(KEY) == "" for box in g.boxes),
    "keys of many shapes": lambda g: {box.secrets.key.startswith("sk-ant-") for box in g.boxes} == {True, False},
    "a run with a key by command": lambda g: any(
        box.kind is Kind.RUN and run.source is Source.LIVE for box in g.boxes for run in box.runs
    ),
    "replies of some blocks": lambda g: len({reply.completion.count("[") for reply in pairs(g, Source.LIVE)}) > 1,
    "live calls that fail": lambda g: any(None in run.replies.values() for run in g.runs if run.source is Source.LIVE),
    "live replies without text": lambda g: any(reply.completion == "" for reply in pairs(g, Source.LIVE)),
    "replies of another model": lambda g: all(
        reply.model != run.world.manifest["model"]
        for run in g.runs
        if run.source is not Source.PREPARED
        for reply in run.replies.values()
        if reply is not None
    ),
    "a factory of the grader": lambda g: any(run.source is Source.HANDED for run in g.runs),
    "a client that fails": lambda g: any(None in run.replies.values() for run in g.runs if run.source is Source.HANDED),
    "a folder with an earlier run": lambda g: (
        any(run.earlier for run in g.runs)
        and any(run.earlier for box in g.boxes if box.kind is Kind.RUN for run in box.runs)
    ),
    "types and stop reasons that disagree": lambda g: (
        {(a["metadata"]["type"], a["stop_reason"]) for w in g.fresh for a in w.answers.values()} >= DISAGREE
    ),
    "latencies of the client": lambda g: (
        len({reply.latency_s for reply in pairs(g, Source.HANDED)}) > 50
        and any(with_all_fields(run) for run in g.runs if run.source is Source.HANDED)
    ),
    # facts
    "facts in capitals": otherwise(str),
    "facts whose lower case is another": otherwise(str.lower),
    "facts whose upper case is another": otherwise(str.upper),
    "facts inside words": lambda g: any(
        held(f, t) and f and not re.search(rf"(?<!\w){re.escape(f.casefold())}(?!\w)", t.casefold())
        for f, t in g.facts()
    ),
    "facts but for an accent": otherwise(bare),
    "facts composed otherwise": otherwise(lambda text: unicodedata.normalize("NFC", text.casefold())),
    "facts but for white space": otherwise(lambda text: " ".join(text.casefold().split())),
    "facts but for punctuation": otherwise(lambda text: re.sub(r"[^\w\s]|_", " ", text.casefold())),
    "facts but for a letter": lambda g: all(
        any(not held(f, t) and f and cut(f.casefold()) in t.casefold() for f, t in g.facts())
        for cut in (CUTS["first letter"], CUTS["last letter"])
    ),
    "facts but for a word": lambda g: all(
        any(not held(f, t) and " " in f and cut(f.casefold()) in t.casefold() for f, t in g.facts())
        for cut in (CUTS["first word"], CUTS["last word"])
    ),
    "facts across lines": lambda g: any(held(f, t) and len(f.splitlines()) > 1 for f, t in g.facts()),
    "facts twice": lambda g: any(len(set(d["required_facts"])) < len(d["required_facts"]) for d in g.dialogues),
    "empty facts": lambda g: any("" in d["required_facts"] for d in g.dialogues),
    "more than seven facts": lambda g: any(
        len(d["required_facts"]) > 7
        and all(held(f, text) for f in d["required_facts"][:7])
        and not held(d["required_facts"][-1], text)
        for d, text in g.answers()
    ),
    "dialogues without facts": lambda g: any(not d["required_facts"] for d in g.dialogues),
    "no facts at all": lambda g: (
        any(w.dialogues and not any(d["required_facts"] for d in w.dialogues) for w in g.fresh)
        and any(logs.requests and not any(line["required_facts"] for line in logs.requests) for logs in g.logs)
    ),
    "nobody answers": lambda g: (
        any(w.dialogues and not set(w.answers) & {d["dialogue_id"] for d in w.dialogues} for w in g.fresh)
        and any(logs.responses and all(line["type"] == "error" for line in logs.responses) for logs in g.logs)
    ),
    "refusals nobody expected": lambda g: any(
        a["metadata"]["type"] == "refusal" and not d.get("expect_refusal")
        for w in g.fresh
        for d in w.dialogues
        if (a := w.answers.get(d["dialogue_id"]))
    ),
    # given logs
    "logs of every type": lambda g: any(
        {line["type"] for line in logs.responses} == {"answer", "refusal", "truncated", "error"} for logs in g.logs
    ),
    "logs whose types and stop reasons disagree": lambda g: any(
        line["type"] != "refusal" and line.get("stop_reason") == "refusal" for logs in g.logs for line in logs.responses
    ),
    "logs without a summary": lambda g: any("summary.json" not in logs.files() for logs in g.logs),
    "logs with a wrong summary": lambda g: any("summary.json" in logs.files() for logs in g.logs),
    "logs of hundreds of lines": lambda g: any(len(logs.requests) > 199 for logs in g.logs),
    "logs without a line": lambda g: any(not logs.requests for logs in g.logs),
    "logs of few fields": lambda g: any(
        logs.responses and not {"index", "usage", "latency_s"} & logs.responses[0].keys() for logs in g.logs
    ),
    "logs in another layout": lambda g: any(b'"type":"' in logs.files()["responses.jsonl"] for logs in g.logs),
    "logs with keys of another program": lambda g: any(
        line.keys() - {*truth.requests(g.fresh[0])[0], *FIELDS_ALWAYS, *FIELDS_PERHAPS}
        for logs in g.logs
        for line in logs.requests
    ),
    "logs whose facts nobody answers": lambda g: any(
        {line["type"] == "error" for line in logs.responses} == {True, False}
        and all(
            bool(asked["required_facts"]) is (line["type"] == "error")
            for asked, line in zip(logs.requests, logs.responses, strict=True)
        )
        for logs in g.logs
    ),
    "logs that hold nothing": lambda g: any(
        found["fact_coverage"] == found["refusal_rate"] == 0 for found in map(truth.metrics_of, g.logs)
    ),
    "logs of refusals": lambda g: any(found["refusal_rate"] == 1 for found in map(truth.metrics_of, g.logs)),
    "logs summarized from within their folder": lambda g: sum(box.inside for box in g.boxes) == 1,
    "logs with separators": lambda g: (
        set(SEPARATORS) <= set("".join(line["completion"] or "" for logs in g.logs for line in logs.responses))
    ),
}
