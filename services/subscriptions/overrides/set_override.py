"""Setting an override, and ending those that are over."""

from datetime import datetime
from typing import Any

from services.subscriptions.domain.overrides import Override, OverrideRequest, resolve_override
from services.subscriptions.entitlements.refresh import refresh_entitlements
from services.subscriptions.rejections import as_rejection, require_customer
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.repository.overrides import (
    customers_with_due_overrides,
    end_due_overrides_of,
    end_override,
)
from services.subscriptions.repository.subscriptions import find_entitlement, load_customers, lock_customers
from services.subscriptions.service import service
from services.subscriptions.snapshots import entitlement_snapshot
from services.subscriptions.state_changes import emit_customer
from services.subscriptions.tables.overrides import OverrideRow
from services.subscriptions.tables.subscriptions import CustomerRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork
from tallystick.messages import subscriptions as m
from tallystick.messages.catalog import FeatureKind

DUE_CUSTOMERS_BATCH = 100
"""Customers whose overrides end in one transaction: enough to be cheap, few enough to keep locks short."""


@service.command(m.OverrideFeature)
async def override_feature(work: UnitOfWork, command: m.OverrideFeature) -> m.EntitlementFound:
    """Replace the override in force, or end it.

    Raises Rejected `not_found`, `unknown_feature` and `invalid_message`.
    """
    customer = await require_customer(work, command.customer)
    feature = (await load_catalog(work)).feature(command.feature)
    if feature is None:
        raise Rejected(
            "unknown_feature",
            f"The catalog has no feature {command.feature!r}.",
            {"feature": command.feature},
        )
    request = OverrideRequest(feature.code, feature.kind, command.allowed, command.quantity, command.until)
    wanted = as_rejection(lambda: resolve_override(request, work.now))
    await end_override(work, customer.customer, feature.code)
    in_force = [one for one in customer.overrides if one["feature"] != feature.code]
    if wanted is not None:
        work.session.add(_new_row(work, command, wanted))
        await work.session.flush()
        in_force.append(_override_snapshot(wanted, feature.kind))
    _emit_overrides(work, customer, in_force)
    await refresh_entitlements(work, [customer.customer])
    row = await find_entitlement(work.session, customer.customer, feature.code)
    if row is None:
        raise Rejected(
            "not_found",
            f"{customer.customer} never had {feature.code!r}: there is no override to end.",
            {"feature": feature.code},
        )
    return m.EntitlementFound(entitlement=entitlement_snapshot(row))


async def end_due_overrides(transactions: Transactions, at: datetime) -> None:
    """End every override that is over by then; a repeated tick finds nothing due."""
    caused_by = tick_cause("subscriptions", "move_periods", at)
    while True:
        async with transactions.begin(caused_by=caused_by, now=at) as work:
            tokens = await customers_with_due_overrides(work.session, at, DUE_CUSTOMERS_BATCH)
            if tokens:
                await lock_customers(work, tokens)
            ended = await end_due_overrides_of(work, tokens)
            for customer in await load_customers(work.session, ended):
                _emit_overrides(work, customer, [one for one in customer.overrides if not _is_over(one, at)])
            await refresh_entitlements(work, ended)
        if len(tokens) < DUE_CUSTOMERS_BATCH:
            return


def _emit_overrides(work: UnitOfWork, customer: CustomerRow, in_force: list[dict[str, Any]]) -> None:
    """Write a customer's overrides and emit `updated`, if they differ."""
    in_force.sort(key=lambda one: str(one["feature"]))
    if in_force != customer.overrides:
        customer.overrides = in_force
        emit_customer(work, customer, "updated")


def _override_snapshot(override: Override, kind: FeatureKind) -> dict[str, Any]:
    snapshot = m.OverrideSnapshot(
        feature=override.feature,
        kind=kind,
        allowed=override.allowed,
        quantity=override.quantity,
        until=override.until,
    )
    return snapshot.model_dump(mode="json")


def _is_over(override: dict[str, Any], at: datetime) -> bool:
    until = override["until"]
    return until is not None and datetime.fromisoformat(until) <= at


def _new_row(work: UnitOfWork, command: m.OverrideFeature, wanted: Override) -> OverrideRow:
    return OverrideRow(
        override_id=new_id("override"),
        customer=command.customer.token,
        feature=wanted.feature,
        allowed=wanted.allowed,
        quantity=wanted.quantity,
        until=wanted.until,
        reason=command.reason,
        set_at=work.now,
        set_by=work.caused_by,
    )
