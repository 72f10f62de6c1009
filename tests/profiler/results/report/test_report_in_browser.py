"""The report in a real browser, opened from the disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from profiler.results.report.privacy import Privacy
from profiler.results.report.write import write_report
from profiler.storage.reading.saved_run import SavedRun
from tests.browser.pages import Opened, started
from tests.browser.prepare import AXE, REQUIRED
from tests.profiler.results.report.making import failure, item, make_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

HOSTILE = '</script><script>hacked=1</script><img src=x onerror="hacked=1"><svg onload=hacked=1>"\'&{{script}}'

BOUND = {
    "most": "output tokens 92 %",
    "waited_s": {"output_tokens": 12.5, "retry_after": 3.0},
    "push_backs": {"429": 4},
    "limits": [{"at_s": 1.5, "limit": "requests", "per_minute": 50.0, "told_by": "headers"}],
    "concurrency": [{"at_s": 2.0, "limit": 8, "reason": "overloaded"}],
}
SESSIONS = [{"started": "2026-11-25T20:00:00Z", "bound_by": None}, {"started": None, "bound_by": BOUND}]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    made: list[Opened] = []

    def make(**settings: Any) -> Opened:
        made.append(Opened(browser, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`one.html` of a run of 300 dialogues, `two.html` of it and another, `repeated.html`, `dense.html` packed as large ones are,
    `without.html` without texts, and `hostile.html`."""
    folder = tmp_path_factory.mktemp("reports")
    base = make_run(folder / "base", [_item(i) for i in range(300)], sessions=SESSIONS)
    new = make_run(folder / "new", [_item(i, better=i % 3 == 0) for i in range(300)], mode="live", client="the API")
    hostile = make_run(
        folder / "hostile",
        [
            item(0, HOSTILE, dialogue_id=HOSTILE, asked_prompt={"user": HOSTILE}, asked_required_facts=[HOSTILE]),
            failure(1, HOSTILE, kind=HOSTILE, asked_tags=[HOSTILE]),
        ],
        identity={"model": HOSTILE, "system": HOSTILE},
        client=f"own client {HOSTILE}",
    )
    _write(folder / "one.html", base)
    _write(folder / "two.html", base, new)
    _write(folder / "hostile.html", hostile)
    told: list[dict[str, Any]] = [
        {"repeat": i % 2, "asked_repeat": i % 2, "dialogue_id": f"x{i // 2}"} for i in range(6)
    ]
    told[5]["type"] = "refusal"
    repeated = [item(i, f"answer {i}", **each) for i, each in enumerate(told)]
    _write(folder / "repeated.html", make_run(folder / "repeated", repeated))
    _write(folder / "without.html", base, texts=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("profiler.results.report.write.MOST_IN_UTF_8", 100)
        _write(folder / "dense.html", base)
    return folder


def _item(i: int, *, better: bool = False) -> Any:
    tags = [["science"], ["cooking", "long"], ["safety"]][i % 3]
    if i % 50 == 7:
        return failure(i, f"request {i} was refused", asked_tags=tags)
    if i % 3 == 2:
        return item(i, "I cannot", type="refusal", asked_expect_refusal=True, asked_tags=tags, at_s=i / 10)
    answer = f"The Moon and number {i}" if better or i % 4 else "Never heard of it"
    return item(i, answer, asked_required_facts=["moon"], asked_expected=answer, asked_tags=tags, at_s=i / 10)


def _write(path: Path, *runs: Path, texts: bool = True) -> None:
    write_report([SavedRun(run) for run in runs], path, privacy=Privacy(texts=texts, environ={}))


def rows(page: Page) -> list[str]:
    found: list[str] = page.evaluate("Array.from(view, (row) => C.ids[row])")
    return found


def test_it_opens_from_the_disk_without_a_request_or_a_complaint_and_can_be_printed(
    reports: Path, opened: Callable[..., Opened]
) -> None:
    found = opened()

    page = found.at(reports / "one.html")

    assert found.requests == [(reports / "one.html").as_uri()]
    assert found.complaints == []
    assert page.locator(".mode.mock").inner_text().startswith("MOCK")
    assert page.locator("#metrics tbody tr").first.inner_text().split()[0] == "fact_coverage"
    assert page.locator("#spread svg").count() >= 3
    assert page.locator("#timeline svg").count() >= 2
    assert page.locator("#timeline p").inner_text() == (
        "Session 2 of 2 was bound by output tokens 92 %; all calls together waited 12.5 s for output tokens, "
        "3 s for retry after; pushed back: 429 × 4."
    )
    assert page.locator("#timeline details tbody tr").count() == 2
    assert page.locator("#found").inner_text() == "300 of 300 dialogues"
    assert 10 < page.locator("#table tr").count() <= 60

    page.emulate_media(media="print")  # on paper there is nothing to press
    assert page.locator("#controls").is_hidden()
    assert page.locator("#metrics table").first.is_visible()
    assert found.requests == [(reports / "one.html").as_uri()]
    assert found.complaints == []


def test_hostile_texts_are_shown_and_do_nothing(reports: Path, opened: Callable[..., Opened]) -> None:
    found = opened()
    page = found.at(reports / "hostile.html")

    page.keyboard.press("j")
    page.wait_for_selector("#dialogue:not([hidden])")

    assert HOSTILE in page.locator("#dialogue").inner_text()
    assert page.locator("#dialogue mark").first.inner_text() == HOSTILE
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("img").count() == 0
    assert (found.requests, found.complaints) == ([(reports / "hostile.html").as_uri()], [])


def test_search_and_filters_narrow_the_table(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "one.html")

    page.fill("#search", "NUMBER 17")
    expected = [f"d{i}" for i in range(300) if str(i).startswith("17") and i % 4 and i % 3 != 2 and i % 50 != 7]
    assert rows(page) == expected

    page.fill("#search", "nummer 17")
    assert rows(page) == []
    page.fill("#search", "d29")
    assert rows(page) == ["d29", *(f"d{i}" for i in range(290, 300))]

    page.fill("#search", "")
    page.select_option("#filter-column", label="type")
    page.select_option("#filter-choice", "error")
    page.click("#filter-add")
    assert rows(page) == [f"d{i}" for i in range(300) if i % 50 == 7]
    page.click("#filters button")
    page.select_option("#filter-column", label="fact_coverage")
    page.select_option("#filter-operator", "≤")
    page.fill("#filter-value", "0.5")
    page.click("#filter-add")
    assert rows(page) == [f"d{i}" for i in range(300) if i % 4 == 0 and i % 3 != 2 and i % 50 != 7]


def test_a_column_sorts_both_ways(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "one.html")
    header = page.get_by_role("columnheader", name="output_tokens")

    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert rows(page)[0] == "d89"
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert rows(page)[0] == "d0"


def test_a_permalink_opens_its_dialogue(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "one.html", part="#d=d133")

    page.wait_for_selector("#dialogue:not([hidden])")

    assert page.locator("#dialogue h3").first.inner_text() == "d133"
    assert page.locator("#dialogue mark").inner_text() == "Moon"
    assert "✓ found: moon" in page.locator("#dialogue").inner_text()
    assert page.locator('#table tr[aria-selected="true"]').inner_text().split()[0] == "d133"


@pytest.mark.parametrize("part", ["#d=100%", "#d=a&b=c"])
def test_a_permalink_typed_by_hand_opens_the_report_and_says_what_it_lacks(
    reports: Path, opened: Callable[..., Opened], part: str
) -> None:
    page = opened().at(reports / "one.html", part=part)

    assert page.locator("#found").inner_text() == f"Dialogue {part.removeprefix('#d=')} is not in this file."


def test_each_of_several_answers_has_its_permalink(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "repeated.html", part="#d=x1&r=1")

    page.wait_for_selector("#dialogue:not([hidden])")

    assert page.locator("#dialogue h3").first.inner_text() == "x1, repeat 1"
    assert "answer 3" in page.locator("#dialogue").inner_text()
    assert "effective n" in page.locator("#metrics table").first.inner_text().lower()


def test_the_keyboard_is_enough(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "one.html")

    page.focus("#table")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#dialogue:not([hidden])")
    assert page.url.endswith("#d=d2")
    page.keyboard.press("n")
    page.wait_for_function("location.hash === '#d=d4'")
    page.keyboard.press("n")
    page.wait_for_function("location.hash === '#d=d7'")
    page.keyboard.press("p")
    page.wait_for_function("location.hash === '#d=d4'")
    page.keyboard.press("Escape")
    assert page.locator("#dialogue").is_hidden()
    page.focus("#table")
    page.keyboard.press("End")
    page.wait_for_selector('#row-299[aria-selected="true"]')
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"


def test_a_large_file_says_the_same_as_a_small_one(reports: Path, opened: Callable[..., Opened]) -> None:
    found = opened()
    page = found.at(reports / "dense.html", part="#d=d133")

    page.wait_for_selector("#dialogue:not([hidden])")

    assert page.evaluate("document.characterSet") == "UTF-16LE"
    assert page.locator("#dialogue mark").inner_text() == "Moon"
    assert found.complaints == []


def test_a_file_without_texts_says_so_and_can_be_read(reports: Path, opened: Callable[..., Opened]) -> None:
    found = opened()
    page = found.at(reports / "without.html", part="#d=d133")

    page.wait_for_selector("#dialogue:not([hidden])")

    assert "Texts are not in this file" in page.locator("#left-out").inner_text()
    assert "fact_coverage" in page.locator("#dialogue").inner_text()
    assert found.complaints == []


def test_two_runs_stand_side_by_side_flips_first(reports: Path, opened: Callable[..., Opened]) -> None:
    page = opened().at(reports / "two.html")

    assert page.locator("#comparison thead th").nth(1).inner_text() == "verdict"  # where a narrow screen shows it
    verdicts = page.locator("#comparison tbody tr strong")
    assert set(verdicts.all_inner_texts()) <= {"better", "worse", "different", "identical", "no difference shown"}
    assert "worse" in verdicts.all_inner_texts() or "better" in verdicts.all_inner_texts()
    first = rows(page)[0]
    page.keyboard.press("j")
    page.wait_for_selector("#dialogue:not([hidden])")

    assert [each.inner_text()[:5] for each in page.locator(".mode").all()] == ["AMOCK", "BLIVE"]
    assert page.locator("#table tbody tr:not(.space)").first.inner_text().split("\t")[1] != ""
    assert page.locator("#dialogue h3").first.inner_text() == first
    assert page.locator("#dialogue ins").count() > 0
    assert page.locator("#dialogue del").count() > 0


@pytest.mark.parametrize(
    ("widths", "height", "scheme"), [([320], 640, "dark"), ([3840, 1280], 900, "light")], ids=["narrow", "wide"]
)
def test_it_fits_every_width_and_is_open_to_everybody(
    reports: Path, opened: Callable[..., Opened], widths: list[int], height: int, scheme: str
) -> None:
    page = opened(viewport={"width": widths[0], "height": height}, color_scheme=scheme).at(reports / "two.html")
    page.keyboard.press("j")
    page.wait_for_selector("#dialogue:not([hidden])")

    for width in widths:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#table tr").count() <= 60
    if not AXE.is_file() and os.environ.get(REQUIRED) != "required":
        pytest.skip("axe-core is not here; `make browser` installs it")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((found) => found.violations)")
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []


def test_blocks_and_calls_read_as_they_do_elsewhere(opened: Callable[..., Opened], tmp_path: Path) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    call = {"type": "tool_use", "id": "t1", "name": "look_up", "input": {"what": ["ä", None, 1.5]}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "42"}]}
    url = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
    messages = [
        {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "What?"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "…", "signature": "s"}, call]},
        {"role": "user", "content": [result, url, {"type": "image", "source": {"type": "file", "file_id": "file_1"}}]},
    ]
    called = [{"id": "t2", "name": "look_up", "input": {"n": 1}}]
    lines = [
        item(0, "", asked_prompt={"messages": messages}, tool_calls=called, stop_reason="tool_use"),
        item(1, "Once more.", tool_calls=called),
    ]
    run = make_run(tmp_path / "run", lines)
    _write(tmp_path / "r.html", run)
    wanted = [item.conversation for item in SavedRun(run).items()]

    page = opened().at(tmp_path / "r.html")
    for number, said in enumerate(wanted):
        page.goto(f"{(tmp_path / 'r.html').as_uri()}#d=d{number}")
        page.reload()
        page.locator(".turn.answered").wait_for()
        assert page.locator(".turn .said").all_text_contents() == [text for _, text in said]
