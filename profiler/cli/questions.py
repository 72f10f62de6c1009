"""Shows the first dialogues of an experiment as they will be asked, before anything is spent (`validate --show N`)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from profiler.core.wording import printable, shortened
from profiler.dataset import file
from profiler.provider.requests import Planner, params_of
from profiler.storage.reading.item import text_of

if TYPE_CHECKING:
    from profiler.manifest.settings import Experiment

JUDGED_BY = ("expected", "required_facts", "expect_refusal", "tags", "metadata")
LONGEST_TEXT = 2_000


def first_questions(experiment: Experiment, count: int) -> list[dict[str, Any]]:
    """Return the lines that requests.jsonl would hold for the first dialogues."""
    planner = Planner(params_of(experiment), system=experiment.system)
    with file.reading(experiment.dataset_path, fields=experiment.dataset_fields) as dialogues:
        return [
            msgspec.json.decode(msgspec.json.encode(request.line)) for request in planner.plan(islice(dialogues, count))
        ]


def question_in_words(line: dict[str, Any]) -> str:
    prompt = line["prompt"]
    said = [("system", prompt.get("system"))]
    said += [("user", text) for text in prompt.get("turns", ())]
    said += [("user", prompt.get("user"))]
    said += [(message["role"], text_of(message["content"])) for message in prompt.get("messages") or ()]
    said += [("sent besides", line.get("request"))]
    said += [(key, line.get(key)) for key in JUDGED_BY]
    told = [f"  {name}: {_shown(value)}" for name, value in said if value not in (None, [], (), {})]
    return "\n".join([printable(line["dialogue_id"]), *told])


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return shortened(printable(text), LONGEST_TEXT).replace("\n", "\n    ")
