"""Draws manifests, and writes them in the many ways that YAML allows.

PyYAML's `safe_load` reads every text as exactly the values drawn. Every text has a comment, an anchor with its alias
where two values are equal, a list in flow style and one in block style, a scalar in a block and one in quotes, and a
whole number that is not decimal.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from grader.experiment_profiler.worlds import names, prose

if TYPE_CHECKING:
    from random import Random

ALWAYS: Final = ("fact_coverage", "refusal_rate", "geometric_mean")
FIELDS_ALWAYS: Final = ("dialogue_id", "completion", "type")
FIELDS_PERHAPS: Final = ("index", "stop_reason", "usage", "latency_s", "model")
LARGEST: Final = 2**53  # the largest that every JSON reader keeps


def draw(rng: Random, *, profile: str, every_field: bool) -> dict[str, Any]:
    """The values, without the paths. `profile` says which settings are out of the ordinary."""
    fields = [*FIELDS_ALWAYS, *(field for field in FIELDS_PERHAPS if rng.random() < 0.5 or every_field)]
    metrics = [*ALWAYS, *(["completion_rate"] if rng.random() < 0.5 or every_field else [])]
    name = names.like_a_number(rng) if profile == "odd" else names.experiment_id(rng)
    return {
        "experiment_id": name,
        "model": name if profile == "odd" else names.model(rng),
        "max_tokens": rng.randint(100_001, LARGEST) if profile == "long" else rng.randint(16, 99_999),
        "temperature": _temperature(rng, profile),
        "log_schema_version": rng.randint(10**9, LARGEST) if profile == "long" else rng.randint(2, 9_999),
        "output_fields": rng.sample(fields, len(fields)),
        "metrics": rng.sample(metrics, len(metrics)),
    }


def _temperature(rng: Random, profile: str) -> float:
    """Zero, above one, or with many digits, depending on the profile."""
    match profile:
        case "crowd":
            return rng.choice((0, 0.0))
        case "odd":
            return rng.choice((2, rng.randint(101, 199) / 100))
        case _:
            return rng.random() / 3 + 0.1


# --- as text ---------------------------------------------------------------------------------------------------------


def text(rng: Random, manifest: dict[str, Any]) -> bytes:
    """The manifest as YAML, with its keys in a random order."""
    block_list = rng.choice(("output_fields", "metrics"))
    parts = {
        "experiment_id": _name(rng, manifest["experiment_id"]),
        "model": f" {rng.choice(('|-', '>-'))}\n  {manifest['model']}",
        "max_tokens": f" {_whole(rng, manifest['max_tokens'])}",
        "temperature": f" {_number(rng, manifest['temperature'])}",
        "dataset_path": f" {json.dumps(manifest['dataset_path'], ensure_ascii=rng.random() < 0.5)}",
        "log_schema_version": f" {_whole(rng, manifest['log_schema_version'])}",
        **{
            name: (_block if name == block_list else _flow)(rng, manifest[name])
            for name in ("output_fields", "metrics")
        },
        "mock": _mock(rng, manifest["mock"]["responses_path"]),
    }
    order = rng.sample(list(parts), len(parts))
    if manifest["model"] == manifest["experiment_id"]:
        first, second = sorted(("model", "experiment_id"), key=order.index)
        parts[first], parts[second] = f" &same{parts['experiment_id']}", " *same"
    lines = [_key(rng, name) + parts[name] + _trailing(rng, parts[name]) for name in order]
    head = rng.choice(("", "---\n", "%YAML 1.1\n---\n", "\ufeff"))
    return (head + "# " + prose.word(rng) + ": none\n" + "\n".join(lines) + "\n").encode()


def _key(rng: Random, name: str) -> str:
    return rng.choice((name, name, f'"{name}"', f"'{name}'")) + ":"


def _trailing(rng: Random, part: str) -> str:
    """Perhaps a comment after a value of one line."""
    if "\n" in part:
        return ""
    return rng.choice(("", f"  # {prose.word(rng)}: [not, a, value]", f"\n# {prose.word(rng)}", "\n"))


def _name(rng: Random, name: str) -> str:
    """A name; without quotes only where YAML reads that as a text."""
    forms = [f"'{name}'", json.dumps(name), f"!!str {json.dumps(name)}"]
    return " " + rng.choice([*forms, *([name] * 3 if _reads_as(name, name) else [])])


def _whole(rng: Random, value: int) -> str:
    return rng.choice((hex(value), f"0{value:o}", f"{value:_}", f"+{value}", f"0b{value:b}", f"!!int '{value}'"))


def _number(rng: Random, value: float) -> str:
    """A number with all its digits."""
    forms = [repr(value), f"+{value!r}"]
    if type(value) is float:
        forms += [f"!!float '{value!r}'", f"{value * 10!r}e-1", f"{value / 10:.17f}e+1", repr(value).removeprefix("0")]
    return rng.choice([form for form in forms if _reads_as(form, value)])


def _reads_as(form: str, value: object) -> bool:
    found = yaml.safe_load(f"key: {form}")["key"]
    return type(found) is type(value) and found == value


def _flow(rng: Random, items: list[str]) -> str:
    between = rng.choice((", ", ",", ",\n    "))
    return (
        " [" + between.join(rng.choice((item, f'"{item}"', f"'{item}'")) for item in items) + rng.choice(("]", ", ]"))
    )


def _block(rng: Random, items: list[str]) -> str:
    indent = rng.choice(("", "  ", "      "))
    return "".join(f"\n{indent}- {item}" + rng.choice(("", "  # kept")) for item in items)


def _mock(rng: Random, path: str) -> str:
    quoted = json.dumps(path)
    return rng.choice(
        (f" {{responses_path: {quoted}}}", f"\n    responses_path: {quoted}", f' {{"responses_path":{quoted}}}')
    )
