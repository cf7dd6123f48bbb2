"""Projection of subscriptions: each one to a product with a license has a license that follows it."""

from services.licenses.domain.license_terms import (
    LicenseTerms,
    TargetState,
    target_state_of,
    terms_of_subscription,
)
from services.licenses.issuing.issue import new_license
from services.licenses.issuing.license_keys import LicenseKeys
from services.licenses.repository import Activations, lock_license_where
from services.licenses.service import service
from services.licenses.state_changes import emit_license, set_suspension, set_terms
from services.licenses.tables import KnownSubscription, LicenseRow
from shared.messaging.feed_consumer import keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as s


@service.event(s.SubscriptionEvent, name="follow_subscription")
async def follow_subscription(work: UnitOfWork, event: s.SubscriptionEvent, keys: LicenseKeys) -> None:
    """Store a subscription, and issue, change, suspend, restore or end its license."""
    if await project_subscription(work, event.subscription):
        await update_license(work, event.subscription, keys)


async def project_subscription(work: UnitOfWork, subscription: s.SubscriptionSnapshot) -> bool:
    """Write the snapshot of a subscription if its version is newer; return whether it was."""
    return await keep_newest(
        work,
        KnownSubscription,
        subscription_id=subscription.subscription_id,
        version=subscription.version,
        snapshot=subscription.model_dump(mode="json"),
    )


async def update_license(work: UnitOfWork, subscription: s.SubscriptionSnapshot, keys: LicenseKeys) -> None:
    """Make the license of a subscription what the subscription says.

    The caller has written the known subscription in this transaction, and so holds the lock on its row.
    """
    target, terms = target_state_of(subscription), terms_of_subscription(subscription)
    found = await lock_license_where(
        work,
        LicenseRow.subscription_id == subscription.subscription_id,
        LicenseRow.status != "expired",
    )
    if found is None:
        if terms is not None and target in ("active", "suspended"):
            _issue(work, subscription, terms, target, keys)
        return
    row, activations = found
    if row.status == "revoked" or target == "none":
        return
    if terms is None or target == "ended":
        end_license(work, row, activations)
    else:
        _follow(work, row, activations, terms, target)


def end_license(work: UnitOfWork, row: LicenseRow, activations: Activations) -> None:
    """End a license: no file is issued any more, and those there are run out."""
    row.status = "expired"
    row.ended_at = work.now
    row.suspended_by_operator = row.suspended_by_subscription = False
    emit_license(work, row, activations, "expired")


def _issue(
    work: UnitOfWork,
    subscription: s.SubscriptionSnapshot,
    terms: LicenseTerms,
    target: TargetState,
    keys: LicenseKeys,
) -> None:
    row = new_license(work, subscription.customer, terms, keys, subscription_id=subscription.subscription_id)
    emit_license(work, row, [], "issued")
    if target == "suspended" and (event := set_suspension(row, by_subscription=True)):
        emit_license(work, row, [], event)


def _follow(
    work: UnitOfWork, row: LicenseRow, activations: Activations, terms: LicenseTerms, target: TargetState
) -> None:
    if set_terms(row, terms):
        emit_license(work, row, activations, "changed")
    if event := set_suspension(row, by_subscription=target == "suspended"):
        emit_license(work, row, activations, event)
