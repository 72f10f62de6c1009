from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.provider.mock_server.history.spool import Spool


@settings(deadline=None)  # files may be slow on a busy machine
@given(st.lists(st.binary(max_size=50)), st.integers(0, 100))
def test_what_was_written_is_read_wherever_it_lies(pieces: list[bytes], in_memory: int) -> None:
    spool = Spool(in_memory=in_memory)
    for piece in pieces:
        spool.append(piece)

    whole = b"".join(pieces)
    assert spool.size == len(whole)
    assert spool.read(0, spool.size) == whole
    assert spool.read(3, 10) == whole[3:13]


def test_its_file_has_no_name_and_is_gone_with_it() -> None:
    spool = Spool(in_memory=1)
    spool.append(b"more than one")
    file = spool._file
    assert file is not None
    assert os.fstat(file).st_nlink == 0
    del spool

    with pytest.raises(OSError, match="descriptor"):
        os.fstat(file)
