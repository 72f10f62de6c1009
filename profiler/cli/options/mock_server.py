"""The options of `profiler mock-server` and their help texts. Their values go by the names of `ServerSettings`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profiler.cli.options.values import at_least_one, fault, limit, port, positive, seconds, share, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, _ArgumentGroup


def add_to(parser: ArgumentParser) -> None:
    where = parser.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    where.add_argument("--port", type=port, default=8089, help="port to listen on; 0 takes a free one (default: 8089)")
    where.add_argument("--allow-remote", action="store_true", help="let --host be an address that others can reach")
    where.add_argument("--key", metavar="KEY", help="the only key that is accepted (default: any)")
    where.add_argument(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this origin ask; * is all; repeatable",
    )
    where.add_argument("--gzip", action="store_true", help="compress replies for clients that accept it")
    where.add_argument("--json", action="store_true", help="say where it listens as JSON, for programs")
    _add_answers(parser.add_argument_group("what it answers"))
    _add_times(parser.add_argument_group("when it answers"))
    _add_batches(parser.add_argument_group("message batches"))
    _add_limits(parser.add_argument_group("limits, enforced with 429 and 529"))
    _add_faults(parser.add_argument_group("what goes wrong"))
    _add_memory(parser.add_argument_group("what it remembers"))


def _add_answers(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--responses", dest="responses_path", metavar="FILE", help="prepared answers, by dialogue_id or by patterns"
    )
    group.add_argument(
        "--dataset",
        dest="dataset_path",
        metavar="FILE",
        help="tells which dialogue a text belongs to (else: the x-dialogue-id header)",
    )
    group.add_argument(
        "--model",
        dest="models",
        action="append",
        default=[],
        metavar="ID",
        help="one more model that there is; repeatable",
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="the seed of everything that is made up (default: 0)"
    )
    group.add_argument(
        "--vary",
        action="store_true",
        help="answer a question that is asked again differently, by temperature and how often it was asked",
    )
    group.add_argument(
        "--tool-rate", type=share, default=0.5, metavar="P", help="how often a tool is called by choice (default: 0.5)"
    )
    group.add_argument(
        "--output-tokens",
        type=positive,
        metavar="N",
        help="median length of answers that are made up (default: none is aimed at)",
    )
    group.add_argument(
        "--output-sigma", type=seconds, default=0.5, metavar="X", help="shape of those lengths (default: 0.5)"
    )
    group.add_argument("--static", action="store_true", help="one answer for everything, unchecked: as fast as can be")


def _add_times(group: _ArgumentGroup) -> None:
    group.add_argument(
        *("--latency", "--latency-median"),
        dest="latency_s",
        type=seconds,
        default=0.0,
        metavar="S",
        help="seconds an answer takes",
    )
    group.add_argument(
        "--latency-sigma", type=seconds, default=0.0, metavar="X", help="shape of a log-normal tail (default: 0, none)"
    )
    group.add_argument(
        "--ttft", dest="ttft_s", type=seconds, default=0.0, metavar="S", help="seconds until the first token"
    )
    group.add_argument("--tokens-per-second", type=positive, metavar="R", help="how fast an answer is written")
    group.add_argument(
        "--input-tokens-per-second", type=positive, metavar="R", help="how fast a prompt is read, unless it is cached"
    )
    group.add_argument(
        "--jitter", type=seconds, default=0.0, metavar="X", help="spread of these times (default: 0, none)"
    )
    group.add_argument("--stall-rate", type=share, default=0.0, metavar="P", help="share of answers that stall")
    group.add_argument(
        "--stream-stall-rate", type=share, default=0.0, metavar="P", help="share of answers that stall half-way"
    )
    group.add_argument(
        "--stall", dest="stall_s", type=seconds, default=10.0, metavar="S", help="seconds of a stall (default: 10)"
    )


def _add_batches(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--batch-time",
        dest="batch_s",
        type=seconds,
        default=0.0,
        metavar="S",
        help="seconds until a batch has ended (default: 0)",
    )
    group.add_argument(
        "--batch-sigma", type=seconds, default=0.0, metavar="X", help="shape of a log-normal tail (default: 0, none)"
    )
    group.add_argument(
        "--batch-cancel-time",
        dest="batch_cancel_s",
        type=seconds,
        default=0.0,
        metavar="S",
        help="seconds that a cancellation takes",
    )
    group.add_argument(
        "--batch-queue", type=at_least_one, metavar="N", help="requests of batches that may wait at once"
    )


def _add_memory(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--journal",
        dest="journal_bytes",
        type=whole,
        default=16 << 20,
        metavar="BYTES",
        help="kept of what was sent; 0 is none (default: 16 MiB)",
    )
    group.add_argument(
        "--remember",
        type=at_least_one,
        default=200_000,
        metavar="N",
        help="dialogues that are told apart (default: 200000)",
    )


def _add_limits(group: _ArgumentGroup) -> None:
    for name in ("requests", "input-tokens", "output-tokens"):
        group.add_argument(f"--{name}-per-minute", type=at_least_one, metavar="N", help=f"{name.replace('-', ' ')}")
    group.add_argument(
        "--limit",
        dest="limits",
        type=limit,
        action="append",
        default=[],
        metavar="RULE",
        help="for other endpoints or one model, such as batches:requests=50 or messages@claude-opus-*:input-tokens=20000; "
        "messages@each:… gives every model a limit of its own; repeatable",
    )
    group.add_argument(
        "--burst",
        dest="burst_s",
        type=positive,
        default=60.0,
        metavar="S",
        help="seconds' worth that may be saved up (default: 60)",
    )
    group.add_argument("--concurrency-limit", type=at_least_one, metavar="N", help="requests in flight at once")


def _add_faults(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--fault",
        dest="faults",
        type=fault,
        action="append",
        default=[],
        metavar="NAME=RATE",
        help="this share of answers fails in this way, such as 429=0.01 or 500@batches.create=0.1; repeatable",
    )
    group.add_argument(
        "--script", dest="script_path", metavar="FILE", help="JSON list: which request meets which fault"
    )
    group.add_argument(
        "--trickle",
        dest="trickle_s",
        type=seconds,
        default=2.0,
        metavar="S",
        help="seconds of a trickled answer (default: 2)",
    )
