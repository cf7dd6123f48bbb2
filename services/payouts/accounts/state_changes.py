"""State changes of connected accounts with their events; no other module writes these events.

The caller has locked the account's row, so versions are consecutive.
"""

from datetime import datetime

from services.payouts.domain.stripe_account import StripeAccount
from services.payouts.tables.accounts import AccountRow
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import payouts as m
from tallystick.messages.base import Customer, Money


def account_snapshot(row: AccountRow) -> m.PayoutAccountSnapshot:
    """Build the snapshot of an account for results, events and answers."""
    bank_payout = row.last_bank_payout
    return m.PayoutAccountSnapshot(
        payout_account_id=row.payout_account_id,
        version=row.version,
        customer=Customer.from_token(row.customer),
        country=row.country,
        email=row.email,
        stripe_account_id=row.stripe_account_id or "",
        default_currency=row.default_currency,
        details_submitted=row.details_submitted,
        charges_enabled=row.charges_enabled,
        payouts_enabled=row.payouts_enabled,
        requirements=m.Requirements.model_validate(row.requirements),
        schedule=schedule_of(row),
        last_bank_payout=m.BankPayout.model_validate(bank_payout, strict=False) if bank_payout else None,
        disconnected_at=row.disconnected_at,
        created_at=row.created_at,
    )


def schedule_of(row: AccountRow) -> m.PayoutSchedule:
    """Return the payout schedule of an account."""
    minimum: int | Money = row.minimum
    if row.minimum_currency is not None:
        minimum = Money(amount=row.minimum, currency=row.minimum_currency)
    return m.PayoutSchedule(
        hold_days=row.hold_days,
        every=row.every,  # type: ignore[arg-type] # a constraint of the table
        minimum=minimum,
    )


def emit_account(work: UnitOfWork, row: AccountRow, event: str) -> None:
    """Increment an account's version and emit an event with its snapshot."""
    row.version += 1
    work.emit(
        m.PayoutAccountEvent,
        event,
        customer=Customer.from_token(row.customer),
        version=row.version,
        payout_account=account_snapshot(row),
    )


def write_stripe_state(row: AccountRow, known: StripeAccount, read_at: datetime) -> bool:
    """Write what Stripe answered at `read_at`; return whether anything changed that is told."""
    if row.read_at is not None and read_at < row.read_at:
        return False
    row.read_at = read_at
    changed = False
    for name in ("email", "default_currency", "details_submitted", "charges_enabled", "payouts_enabled"):
        changed |= _set(row, name, getattr(known, name))
    return _set(row, "requirements", known.requirements) or changed


def _set(row: AccountRow, name: str, value: object) -> bool:
    if getattr(row, name) == value:
        return False
    setattr(row, name, value)
    return True
