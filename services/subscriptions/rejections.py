"""Rejections that several use cases share."""

from collections.abc import Callable
from typing import TypeVar

from services.subscriptions.domain.rule_violation import RuleViolation
from services.subscriptions.repository.subscriptions import lock_customer
from services.subscriptions.tables.subscriptions import CustomerRow
from shared.errors import Rejected
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages.base import Customer, Money

Result = TypeVar("Result")


def as_rejection(rule: Callable[[], Result]) -> Result:
    """Apply a rule, and raise its RuleViolation as a Rejected."""
    try:
        return rule()
    except RuleViolation as violation:
        raise Rejected(violation.code, violation.message, violation.details) from None


def require_agreed_amount(agreed: Money | None, due: Money) -> None:
    """Raise Rejected `amount_changed` if another amount is due than the one that was agreed to, if any."""
    if agreed is None or agreed == due:
        return
    raise Rejected(
        "amount_changed",
        "Another amount is due now than the one that was agreed to. Nothing was charged.",
        {"due_now": due.model_dump()},
    )


async def require_customer(work: UnitOfWork, customer: Customer) -> CustomerRow:
    """Lock and return the row of a registered customer; raises Rejected `not_found`."""
    row = await lock_customer(work.session, customer.token)
    if row is None:
        raise unknown_customer(customer)
    return row


def unknown_customer(customer: Customer) -> Rejected:
    """Build the rejection of a customer who is not registered."""
    return Rejected(
        "not_found",
        f"{customer.token} is not registered. Send register_customer first.",
        {"customer": customer.token},
    )
