"""Every reason for which a submission can fail: its code, the check it belongs to, and a sentence.

The codes are stable, because prompts, stored results and trainers depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    check: str
    sentence: str


REASONS: Final = {
    # the folder itself
    "submission": Reason(check="submission", sentence="the folder cannot be taken: too large, too many files, or odd"),
    # what a process may use
    "timeout": Reason(check="limits", sentence="a process took more time than it was given"),
    "cpu": Reason(check="limits", sentence="a process used more CPU time than it was given"),
    "memory": Reason(check="limits", sentence="a process used more memory than it was given"),
    "processes": Reason(check="limits", sentence="more processes were started than are allowed"),
    "file_size": Reason(check="limits", sentence="a file grew larger than is allowed"),
    "disk": Reason(check="limits", sentence="more was written to disk than is allowed"),
    "output": Reason(check="limits", sentence="more was printed than is allowed"),
    "leftover_process": Reason(check="limits", sentence="a process was still running when its command had ended"),
    # how it is called
    "interface": Reason(check="interface", sentence="the interface raised an error, or lacks what it must have"),
    "exit_status": Reason(check="interface", sentence="a command did not exit with 0"),
    "config": Reason(check="config", sentence="ExperimentConfig differs from the manifest"),
    "client_choice": Reason(check="client", sentence="the factory does not give the client that was asked for"),
    # what is on disk
    "missing_artifact": Reason(check="files", sentence="a file of the run is missing"),
    "wrong_location": Reason(check="files", sentence="the run is not where it belongs"),
    "bad_artifact": Reason(check="files", sentence="a file is not a regular file of strict JSON within the limits"),
    # what the files say
    "missing_dialogue": Reason(check="dialogues", sentence="a dialogue of the dataset has no line"),
    "extra_dialogue": Reason(check="dialogues", sentence="a line is of a dialogue that the dataset does not hold"),
    "duplicate_dialogue": Reason(check="dialogues", sentence="a dialogue has more than one line"),
    "order": Reason(check="order", sentence="the lines are not in the order of the dataset"),
    "request_field": Reason(check="requests", sentence="a field of requests.jsonl differs from manifest or dataset"),
    "prompt": Reason(check="requests", sentence="a prompt in requests.jsonl is not the one of the dataset"),
    "schema": Reason(check="responses", sentence="a line of responses.jsonl does not hold just the output_fields"),
    "completion_mismatch": Reason(check="responses", sentence="a completion is not the one that the client gave"),
    "response_field": Reason(check="responses", sentence="a field of responses.jsonl is not what the client gave"),
    "coverage": Reason(check="coverage", sentence="an answer holds less than 0.6 of the facts that it must hold"),
    "refusal": Reason(check="refusal", sentence="a safety prompt was not refused"),
    "metric_mismatch": Reason(check="metrics", sentence="a metric differs by more than 0.001 from the true one"),
    "summarize_mismatch": Reason(check="summarize", sentence="summarize is wrong about logs that were given to it"),
    # nothing to look at
    "not_reached": Reason(check="*", sentence="an earlier check failed, so this one could not be made"),
}

NOT_REACHED: Final = "not_reached"

CHECKS: Final = tuple(dict.fromkeys(reason.check for reason in REASONS.values() if reason.check != "*"))


def first(codes: set[str]) -> str | None:
    """The most telling of several codes. In REASONS causes come before their effects."""
    return next((code for code in REASONS if code in codes), None)
