"""`profiler mock-server`: turns its arguments into settings, and runs the server until a signal.

It is a module of its own because it needs nothing that the other commands import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from profiler.cli.output import remark
from profiler.provider.mock_server.server import serve
from profiler.provider.mock_server.settings import LimitRule, ServerSettings

if TYPE_CHECKING:
    from argparse import Namespace


def mock_server(args: Namespace) -> int:
    """Serve until a signal says stop. The address is the one line on stdout."""
    settings = ServerSettings(
        host=args.host,
        port=args.port,
        allow_remote=args.allow_remote,
        key=args.key,
        seed=args.seed,
        static=args.static,
        models=tuple(args.model),
        tool_rate=args.tool_rate,
        vary=args.vary,
        output_tokens=args.output_tokens,
        output_sigma=args.output_sigma,
        ttft_s=args.ttft,
        tokens_per_second=args.tokens_per_second,
        input_tokens_per_second=args.input_tokens_per_second,
        jitter=args.jitter,
        stream_stall_rate=args.stream_stall_rate,
        responses_path=args.responses and Path(args.responses),
        dataset_path=args.dataset and Path(args.dataset),
        latency_s=args.latency,
        latency_sigma=args.latency_sigma,
        stall_rate=args.stall_rate,
        stall_s=args.stall,
        requests_per_minute=args.requests_per_minute,
        input_tokens_per_minute=args.input_tokens_per_minute,
        output_tokens_per_minute=args.output_tokens_per_minute,
        burst_s=args.burst,
        concurrency_limit=args.concurrency_limit,
        faults=dict(args.fault),
        script_path=args.script and Path(args.script),
        trickle_s=args.trickle,
        limits=[LimitRule(**rule) for rule in args.limit],
        batch_s=args.batch_time,
        batch_sigma=args.batch_sigma,
        batch_cancel_s=args.batch_cancel_time,
        batch_queue=args.batch_queue,
        journal_bytes=args.journal,
        remember=args.remember,
        cors=args.cors,
        gzip=args.gzip,
    )
    return serve(settings, announce=_announce, remark=remark, as_json=args.json)


def _announce(text: str) -> None:
    print(text, flush=True)


COMMANDS = {"mock-server": mock_server}
