"""Lets every system call fail once that a small run makes on its folder: `python tests/faults/syscall_faults.py`.

The run must either end with a message and exit code 2, or not be hurt at all. The same command must then finish with
the files of an undisturbed run. Needs strace.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.faults.live import live_site, provider
from tests.faults.runs import COMPLETE, Site, dialogues, whole_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CALLS = (
    *("mkdir", "openat", "flock", "newfstatat", "fstat", "getdents64", "read", "pread64", "write", "pwrite64", "mmap"),
    *("ftruncate", "fsync", "fdatasync", "rename", "unlink", "close"),
)
COUNT = 5
FILES = ("requests.jsonl", "responses.jsonl", "scores.jsonl", "journal.jsonl", "summary.json", "ledger.dat")


class Fault(NamedTuple):
    """The call to let fail: the `when`-th `call` on the folder or a file in it."""

    mode: str
    call: str
    when: int

    def __str__(self) -> str:
        return f"{self.mode}: {self.call} {self.when}"


class Verdict(NamedTuple):
    """What was wrong; `came` says whether the run made that call at all."""

    came: bool
    wrong: list[str]


def strace() -> str | None:
    """The path of strace, if it is installed and may trace here."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        return None
    return found


def site_of(folder: Path, mode: str) -> Site:
    if mode == "live":
        return live_site(folder, dialogues(COUNT), retry={"max_attempts": 1, "deadline_s": 60})
    return Site(folder=folder).write(dialogues(COUNT), client=None)


def tried(fault: Fault, *, program: str, expected: dict[str, bytes]) -> Verdict:
    """Run with the fault, then run the same command without it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = site_of(folder, fault.mode)
        with provider(site) if fault.mode == "live" else nullcontext():
            run = site.run(wrapper=_injecting(site, fault, program=program))
            came = "(INJECTED)" in (folder / "trace").read_text(encoding="utf-8", errors="replace")
            wrong = list(_rude(run.code, run.err))
            if came or run.code:
                again = site.run()
                wrong += [f"then the same command: {again}"] if again.code else []
                wrong += list(_differing(site, fault, expected))
    return Verdict(came, [f"{fault}: {each}" for each in wrong])


def _injecting(site: Site, fault: Fault, *, program: str) -> Sequence[str]:
    drafts = [f".{name}.tmp" for name in FILES]
    paths = [word for name in ("", *FILES, *drafts) for word in ("-P", str(site.run_dir / name).rstrip("/"))]
    inject = f"inject={fault.call}:error=EIO:when={fault.when}"
    return [program, "-f", "-qq", "-o", str(site.folder / "trace"), *paths, "-e", f"trace={fault.call}", "-e", inject]


def _rude(code: int, err: str) -> Iterator[str]:
    if "Traceback" in err:
        yield f"a traceback: {err[-600:]}"
    if code not in (0, 2):
        yield f"exit code {code}: {err[-600:]}"
    if code == 2 and not re.search(r"^error: .*\S", err, re.MULTILINE):
        yield f"no sentence: {err[-600:]}"


def _differing(site: Site, fault: Fault, expected: dict[str, bytes]) -> Iterator[str]:
    if not site.run_dir.is_dir() or set(site.results()) != COMPLETE:
        yield f"the folder holds {sorted(site.results()) if site.run_dir.is_dir() else 'nothing'}"
    elif fault.mode == "mock" and site.results() != expected:
        yield "the files are others than without the fault"
    elif [record["index"] for record in whole_records(site.responses)] != list(range(COUNT)):
        yield "a dialogue is missing or stands twice"


def undisturbed() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        site = site_of(Path(name), "mock")
        assert site.run().code == 0
        return site.results()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("mock", "live"), action="append")
    parser.add_argument("--most", type=int, default=40, metavar="N", help="of each call only the first N (default: 40)")
    args = parser.parse_args()
    program = strace()
    if program is None:
        print("strace is not installed or not allowed here, so nothing was tried", file=sys.stderr)
        return 2
    expected, tries, wrong = undisturbed(), 0, list[str]()
    for mode in args.mode or ("mock", "live"):
        for call in CALLS:
            for when in range(1, args.most + 1):
                verdict = tried(Fault(mode, call, when), program=program, expected=expected)
                if not verdict.came:
                    break
                tries += 1
                wrong += verdict.wrong
                print(f"{mode} {call} {when}: {'WRONG' if verdict.wrong else 'ok'}", flush=True)
    print("\n".join(wrong))
    print(f"{tries} faults, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
