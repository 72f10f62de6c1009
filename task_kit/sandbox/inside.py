"""The process between the caller and a box: one plan in, one report out.

Started as a fresh interpreter without site-packages; standard input brings the plan and then stays open, and its
end means that the caller is gone.
"""

from __future__ import annotations

import os

from task_kit.sandbox import boxes, plan, supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from task_kit.sandbox.plan import Plan, Report

PLANS, REPORTS = 0, 1


def main() -> None:
    box: Plan = plan.read(PLANS)  # type: ignore[assignment] -- our own caller sends nothing else
    plan.write(REPORTS, answer(box, become_program(box), lifeline=PLANS))


def answer(box: Plan, body: boxes.Body, *, lifeline: int) -> Report:
    try:
        return supervisor.supervise(box, body, lifeline=lifeline)
    except (OSError, boxes.SetupError) as error:
        return {"error": str(error)}
    except supervisor.Abandoned:
        return {"error": "nobody waits for this box any more"}


def become_program(box: Plan) -> boxes.Body:
    def body() -> None:
        os.execve(box["argv"][0], box["argv"], box["env"])  # noqa: S606 -- no shell is wanted

    return body
