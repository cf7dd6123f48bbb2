"""How a rule's refusal becomes a rejection, and who may act for a team."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.seats.domain.rule_violation import RuleViolation
from services.seats.tables import TeamRow
from shared.errors import Rejected
from tallystick.messages.base import Customer


def rejection_from(violation: RuleViolation) -> Rejected:
    """The rejection that says what a rule said."""
    return Rejected(violation.code, violation.message, violation.details)


@contextmanager
def reject_violations() -> Iterator[None]:
    """Whatever a rule refuses within the block is rejected."""
    try:
        yield
    except RuleViolation as violation:
        raise rejection_from(violation) from violation


def require_manager(row: TeamRow, acting_as: Customer | None) -> None:
    """Reject with `not_billing_manager` whoever acts for a team that they do not manage."""
    if acting_as is not None and acting_as.token != row.billing_manager:
        raise Rejected(
            "not_billing_manager",
            "Only the team's billing manager may do this.",
            {"team_id": row.team_id, "acting_as": acting_as.token},
        )


def require_open(row: TeamRow) -> None:
    """Reject with `team_closed` what comes after a team's end."""
    if row.closing:
        raise Rejected(
            "team_closed", "The team's subscription has ended, or has no seats.", {"team_id": row.team_id}
        )
