"""`seeds`: a name alone decides nothing, a secret that is shared decides the same everywhere."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest

from grader.leakage_modeling.grading.runs import seed_of
from grader.leakage_modeling.grading.seeds import sealed_seed, secret_in, secret_of_installation
from profiler.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = b"0123456789abcdef"


def test_a_name_is_one_seed_with_one_secret_and_another_with_another() -> None:
    assert sealed_seed("7", secret=SECRET) == sealed_seed("7", secret=SECRET)
    assert len({sealed_seed(name, secret=secret) for name in ("7", "8") for secret in (SECRET, SECRET * 2)}) == 4


def test_the_seed_of_a_world_is_not_found_by_trying_names_and_generators() -> None:
    """What a search can try without the secret: the name itself, through whatever turns a name into a seed."""
    wanted = seed_of(sealed_seed("7", secret=SECRET), 0)

    tried = {seed_of(str(name), index) for name in range(2000) for index in range(3)}
    tried |= {seed_of(sha256(str(name).encode()).hexdigest(), 0) for name in range(2000)}
    tried |= {random.Random(name).getrandbits(128) for name in range(2000)}
    tried |= {int(np.random.default_rng(name).integers(2**63)) for name in range(2000)}
    assert wanted not in tried


def test_the_secret_of_an_installation_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}

    first, again = secret_of_installation(environ), secret_of_installation(environ)

    [file] = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert first == again
    assert len(first) >= 32
    assert file.stat().st_mode & 0o077 == 0


def test_machines_that_share_a_file_share_worlds(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")

    assert secret_in(tmp_path / "secret") == SECRET


def test_a_secret_that_can_be_guessed_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("7")

    with pytest.raises(UsageError, match="found 1 bytes") as refused:
        secret_in(tmp_path / "secret")

    assert "urandom" in str(refused.value.hint)


def test_a_place_that_cannot_be_written_to_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")

    with pytest.raises(UsageError, match="cannot keep a secret there") as refused:
        secret_of_installation({"XDG_STATE_HOME": str(tmp_path / "state")})

    assert "--seed-secret" in str(refused.value.hint)
