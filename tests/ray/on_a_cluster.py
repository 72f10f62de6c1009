"""Runs on a Ray cluster of this machine: a head and three nodes on loopback addresses, with token authentication.

`python -m tests.ray.on_a_cluster FOLDER` in the environment that `make ray` makes. It prints what it saw as JSON; the tests
beside it say what that has to be. Runs are those that a user types.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ("requests.jsonl", "responses.jsonl", "scores.jsonl", "summary.json")
RANGES, ITEMS_OF_ONE = 24, 1_000
COMMITS_BEFORE_THE_KILL = 5
CAP_USD = 0.1
LOOK_EVERY_S = 0.02
PATIENCE_S = 120
KEY = "sk-ant-secret-of-the-cluster"

os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_raylet_start_wait_time_s": "180",  # other tests run beside
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "PYTHONPATH": str(ROOT),
    "ANTHROPIC_API_KEY": KEY,
}

import ray  # noqa: E402 (it reads the variables above)
from ray.cluster_utils import Cluster  # noqa: E402

from profiler.money.price_list import look_up  # noqa: E402
from profiler.money.prices import cost, dollars  # noqa: E402
from profiler.provider.mock_server.server import MockServer  # noqa: E402
from tests.ray.grading import graded_on, graded_while_a_node_is_lost  # noqa: E402


def main(folder: Path) -> None:
    began = time.monotonic()
    seen: dict[str, Any] = {}
    write(folder)
    with MockServer(latency_s=0.02, dataset_path=folder / "dialogues.jsonl") as server:
        os.environ["ANTHROPIC_BASE_URL"] = server.base_url  # the nodes inherit it
        with cluster() as (address, nodes, kill_node):
            seen["cluster_s"] = time.monotonic() - began
            assert nodes == 3
            seen["graded"] = graded_on(folder, address)
            seen["mock"] = a_node_is_lost(folder, address, lambda: kill_node(2))
            seen["live"] = the_broker_is_lost(folder, address, server)
            seen["graded_on_fewer"] = graded_while_a_node_is_lost(folder, address, lambda: kill_node(1))
    seen["seconds"] = time.monotonic() - began
    print(json.dumps(seen))


def write(folder: Path) -> None:
    rows = ({"dialogue_id": f"d{n}", "user": f"What is {n}?"} for n in range(RANGES * ITEMS_OF_ONE))
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = {
        "experiment_id": "e",
        "model": "claude-haiku-4-5",
        "max_tokens": 64,
        "dataset_path": "dialogues.jsonl",
        "concurrency": 48,
        "mock": {"latency_s": 0.02, "faults": {"server_error": 0.02}},
    }
    (folder / "manifest.yaml").write_text(json.dumps(manifest))


@contextmanager
def cluster() -> Iterator[tuple[str, int, Callable[[int], None]]]:
    """127.0.0.1 would be rewritten to the address of the machine."""
    small = {"object_store_memory": 80_000_000, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.2", **small})
    try:
        nodes = [found.add_node(num_cpus=1, node_ip_address=f"127.0.0.{n}", **small) for n in (3, 4, 5)]
        ray.init(address=found.address, namespace="profiler", log_to_driver=False, logging_level="error")
        yield found.address, len(nodes), lambda number: found.remove_node(nodes[number], allow_graceful=False)
    finally:
        ray.shutdown()
        found.shutdown()


def a_node_is_lost(folder: Path, address: str, kill_node: Callable[[], None]) -> dict[str, Any]:
    """One of three nodes, when five ranges are committed."""
    one = start(folder, "one", "--mode", "mock")
    assert one.wait(PATIENCE_S) == 0, said(one)
    began = time.monotonic()
    shared = start(folder, "ray", "--mode", "mock", "--processes", "3", "--on", f"ray:{address}")
    done = folder / "ray" / "e" / "fleet" / "done"
    wait_until(shared, lambda: done.is_dir() and len(list(done.iterdir())) >= COMMITS_BEFORE_THE_KILL)
    killed = shared.poll() is None
    kill_node()
    code = shared.wait(PATIENCE_S)
    return {
        "code": code,
        "said": said(shared),
        "killed_in_time": killed,
        "equal": [name for name in RESULTS if read(folder, "one", name) == read(folder, "ray", name)],
        "seconds": time.monotonic() - began,
    }


def the_broker_is_lost(folder: Path, address: str, server: MockServer) -> dict[str, Any]:
    """It dies in the middle of a live run, and Ray starts it again; the server keeps the bill."""
    words = ("--mode", "live", "--processes", "2", "--on", f"ray:{address}", "--max-cost", f"{CAP_USD}")
    run = start(folder, "live", *words)
    wait_until(run, lambda: server.stats["replies"]["by_status"].get("200", 0) > 300)
    killed = run.poll() is None and kill_broker()
    code = run.wait(PATIENCE_S)
    text = said(run)
    logs = (folder / "live").rglob("*")
    return {
        "code": code,
        "said": text,
        "killed_in_time": killed,
        "billed_usd": billed_usd(server),
        "key_in": [str(path) for path in logs if path.is_file() and KEY.encode() in path.read_bytes()],
        "key_said": KEY in text or os.environ["RAY_AUTH_TOKEN"] in text,
    }


def kill_broker() -> bool:
    for name in ray.util.list_named_actors():
        if name.startswith("profiler-broker"):
            ray.kill(ray.get_actor(name), no_restart=False)
            return True
    return False


def billed_usd(server: MockServer) -> float:
    card, tokens = look_up("claude-haiku-4-5", at=datetime.now(UTC)), server.stats["tokens"]
    assert card is not None
    found = cost(card, {"input_tokens": tokens["input"], "output_tokens": tokens["output"]})
    assert found is not None
    return dollars(found)


def start(folder: Path, runs: str, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "profiler", "run", "--config", "manifest.yaml", "--output-dir", runs]
    with (folder / f"{runs}.said").open("wb") as log:
        return subprocess.Popen([*command, *words], cwd=folder, stdout=log, stderr=log)


def said(run: subprocess.Popen[bytes]) -> str:
    assert isinstance(run.args, list)
    words = [str(word) for word in run.args]
    folder = Path(sys.argv[1])
    return (folder / f"{words[words.index('--output-dir') + 1]}.said").read_text()


def read(folder: Path, runs: str, name: str) -> bytes:
    path = folder / runs / "e" / name
    return path.read_bytes() if path.is_file() else runs.encode()


def wait_until(run: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not happened() and run.poll() is None and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
