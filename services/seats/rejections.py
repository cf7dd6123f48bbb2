"""Rejections: converted from rule violations, and raised for callers who may not act for a team."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.seats.domain.rule_violation import RuleViolation
from services.seats.tables import TeamRow
from shared.errors import Rejected
from tallystick.messages.base import Customer


def rejection_from(violation: RuleViolation) -> Rejected:
    """Convert a rule violation to a rejection."""
    return Rejected(violation.code, violation.message, {**violation.details})


@contextmanager
def reject_violations() -> Iterator[None]:
    """Raise Rejected for a RuleViolation that is raised within the block."""
    try:
        yield
    except RuleViolation as violation:
        raise rejection_from(violation) from violation


def require_manager(row: TeamRow, acting_as: Customer | None) -> None:
    """Raise Rejected `not_billing_manager` if `acting_as` is given and does not manage the team."""
    if acting_as is not None and acting_as.token != row.billing_manager:
        raise Rejected(
            "not_billing_manager",
            "Only the team's billing manager may do this.",
            {"team_id": row.team_id, "acting_as": acting_as.token},
        )


def require_open(row: TeamRow) -> None:
    """Raise Rejected `team_closed` if the team is closed or closing."""
    if row.closing:
        raise Rejected(
            "team_closed", "The team's subscription has ended, or has no seats.", {"team_id": row.team_id}
        )
