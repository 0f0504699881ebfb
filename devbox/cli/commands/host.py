"""info and check."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.cli.checking import problems
from devbox.cli.context import Context
from devbox.cli.documents.info import document
from devbox.cli.info_text import lines
from devbox.cli.output import one
from devbox.model.invocation import Invocation

FOREIGN = "foreign firewall"
"""a problem of somebody else's, told and not counted"""


def info(context: Context, invocation: Invocation) -> int:
    """`devbox info`."""
    shown = document(context.reconciled())
    wanted = invocation.text("format")
    if wanted:
        one(context, wanted, shown)
        return 0
    for line in lines(shown):
        context.out(line)
    for warning in shown["Warnings"]:
        context.err(warning)
    return 0


def check(context: Context, invocation: Invocation) -> int:
    """Find, and with --repair mend, what is missing, altered or surplus; 1 when something is left."""
    repair = invocation.flag("repair")
    left = 0
    for problem in problems(context.reconciled(), repair=repair):
        if problem.kind == FOREIGN:
            context.err(f"warning: {problem.sentence}")
            continue
        mended = repair and problem.mendable
        left += not mended
        context.out(f"{'repaired' if mended else 'found'}: {problem.sentence}")
    if not left:
        context.out("the store is in order")
        return 0
    hint = "" if repair else ": 'devbox check --repair' repairs what can be repaired"
    context.err(f"{left} problem{'s' * (left != 1)} left{hint}")
    return 1
