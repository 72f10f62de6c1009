"""Makes the seed that decides the worlds of a run, from a name and a secret.

A name such as `7` is soon guessed, and every world with it. So it is mixed with a secret that lies outside of every
box: a file that machines may share, which then share worlds, or one that is made once for an installation. The mixed
seed is what is stored, so grading again needs no secret.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = "experiment-profiler"
FILE: Final = "seed-secret"
SHORTEST: Final = 16  # bytes


def sealed_seed(name: str, *, secret: bytes) -> str:
    return hmac.new(secret, f"leakage_modeling/{name}".encode("utf-8", "surrogateescape"), "sha256").hexdigest()


def secret_in(file: Path) -> bytes:
    """A secret that somebody made and shares."""
    try:
        found = file.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"--seed-secret: cannot read {file}: {error.strerror or error}") from error
    if len(found) < SHORTEST:
        raise UsageError(
            f"--seed-secret: found {len(found)} bytes in {file}, expected at least {SHORTEST}",
            hint=f"head -c 32 /dev/urandom | base64 > {file}",
        )
    return found


def secret_of_installation(environ: Mapping[str, str]) -> bytes:
    """The secret of this user, made when it is first asked for, and readable only by its owner."""
    base = Path(environ["XDG_STATE_HOME"]) if environ.get("XDG_STATE_HOME") else Path.home() / ".local" / "state"
    file = base / FOLDER / FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            _make(file)
        return file.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"{file}: cannot keep a secret there: {error.strerror or error}", hint="name one with --seed-secret FILE"
        ) from error


def _make(file: Path) -> None:
    """Write the secret whole or not at all, and never over one that another process has just made."""
    fresh = file.with_name(f".{FILE}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_hex(32), encoding="ascii")
    with suppress(FileExistsError):
        file.hardlink_to(fresh)
    fresh.unlink()
