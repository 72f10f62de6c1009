"""In what the identities of two runs differ, in words."""

from __future__ import annotations

from typing import Any

UNTOLD = {"repeats": 1}  # settings that an identity leaves out where they are as usual


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What two identities do not have in common, one line for each difference."""
    if "address" not in old and "base_url" in old:
        old, new = _as_far_as_told(old, new)
    return _differences(old, new)


def _as_far_as_told(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reduce both identities to what a run of an older version recorded.

    It may not say whom it asked. What it says is compared, the rest is taken to be the same.
    """
    live, address, version = old.get("mode") == "live", old["base_url"], old.get("api_version")
    unsaid = {"base_url"} | ({"mock"} if live else set())
    unsaid |= {name for name, value in (("address", live and address), ("api_version", version)) if not value}
    old = {**old, "address": address and address.rstrip("/")}
    if not live or new.get("client") is not None:
        unsaid |= {"address", "provider"}
    return tuple({name: value for name, value in each.items() if name not in unsaid} for each in (old, new))  # type: ignore[return-value]


def _differences(old: dict[str, Any], new: dict[str, Any], *, prefix: str = "") -> list[str]:
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name, UNTOLD.get(name)), new.get(name, UNTOLD.get(name))
        if isinstance(before, dict) and isinstance(now, dict):
            lines += _differences(before, now, prefix=f"{prefix}{name}.")
        elif before != now:
            lines.append(f"{prefix}{name}: the run has {_in_words(before)}, now it is {_in_words(now)}")
    return lines


def _in_words(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return (
            ", ".join(f"{name}: {each if isinstance(each, str) else _in_words(each)}" for name, each in value.items())
            or "empty"
        )
    return repr(value)
