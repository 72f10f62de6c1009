"""Headers are a mapping from names in lower case to texts, whatever came."""

from __future__ import annotations

from email.parser import BytesHeaderParser

from hypothesis import given
from hypothesis import strategies as st

from profiler.provider.http.headers import Headers

NAMES = st.text("abcXYZ-", min_size=1, max_size=6).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=255), min_size=1).map(
    lambda text: text.encode("latin-1")
)


@given(st.dictionaries(NAMES, VALUES))
def test_each_header_is_found_by_its_name_in_lower_case(lines: dict[bytes, bytes]) -> None:
    expected: dict[str, str] = {}
    for name, value in lines.items():
        expected[name.decode().lower()] = value.decode("latin-1")

    found = Headers(lines)

    assert found == expected
    assert all(found.get(name) == found[name] == value and name in found for name, value in expected.items())
    assert (found.get("absent"), found.get("absent", "else"), "absent" in found) == (None, "else", False)


def test_the_letters_of_a_name_do_not_matter_as_for_the_parser_of_the_standard_library() -> None:
    lines = {b"Request-Id": b"req_1", b"RETRY-AFTER": b"2", b"content-type": b"text/html; charset=latin-1"}
    reference = BytesHeaderParser().parsebytes(b"".join(b"%b: %b\r\n" % pair for pair in lines.items()))

    assert dict(Headers(lines)) == {name.lower(): value for name, value in reference.items()}
