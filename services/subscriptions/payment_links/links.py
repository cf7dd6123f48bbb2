"""`create_payment_link`, `deactivate_payment_link` and the questions about links."""

from typing import Any, cast

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from services.subscriptions.domain.orders import order_lines
from services.subscriptions.domain.payment_links import CUSTOMER_KEY, stripe_link_parameters
from services.subscriptions.payment_links.state_changes import emit_link, link_snapshot, use_snapshot
from services.subscriptions.rejections import as_rejection
from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.service import service
from services.subscriptions.stripe.client import StripeGateway, stripe_rejections
from services.subscriptions.tables.payment_links import PaymentLinkRow, PaymentLinkUseRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.messaging.external_command import ExternalCommandSteps
from shared.persistence.cursors import decode_cursor, encode_cursor
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import subscriptions as m


class LinkIntent(BaseModel):
    """A link to make in Stripe."""

    model_config = ConfigDict(frozen=True)

    payment_link_id: str
    items: list[dict[str, Any]]
    params: dict[str, Any]


class DeactivationIntent(BaseModel):
    """A link to deactivate in Stripe; None: it is deactivated already."""

    model_config = ConfigDict(frozen=True)

    stripe_payment_link_id: str | None


@service.external_command(m.CreatePaymentLink)
async def create_payment_link(
    steps: ExternalCommandSteps, command: m.CreatePaymentLink, stripe: StripeGateway
) -> m.PaymentLinkFound:
    """Check the order, make the link in Stripe, and record it."""
    stripe.require()
    intent = await steps.intend(lambda work: _plan(work, command), LinkIntent)
    async with stripe.calls(), stripe_rejections():
        made = await stripe.api.payment_links.create_async(
            intent.params,  # type: ignore[arg-type]
            {"idempotency_key": steps.key("link")},
        )
    stripe_id, url = made.id, made.url
    return await steps.record(lambda work: _record(work, command, intent, stripe_id, url))


@service.external_command(m.DeactivatePaymentLink)
async def deactivate_payment_link(
    steps: ExternalCommandSteps, command: m.DeactivatePaymentLink, stripe: StripeGateway
) -> m.PaymentLinkFound:
    """Deactivate the link in Stripe, so that no open page can be paid any more, and record it."""
    stripe.require()
    intent = await steps.intend(lambda work: _plan_deactivation(work, command), DeactivationIntent)
    if intent.stripe_payment_link_id is not None:
        async with stripe.calls(), stripe_rejections():
            await stripe.api.payment_links.update_async(
                intent.stripe_payment_link_id, {"active": False}, {"idempotency_key": steps.key("off")}
            )
    return await steps.record(lambda work: _record_deactivation(work, command))


@service.question(m.ListPaymentLinks)
async def list_payment_links(work: UnitOfWork, question: m.ListPaymentLinks) -> m.PaymentLinkPage:
    """Return a page of links; one row more is loaded to know whether there is a next page."""
    key = PaymentLinkRow.payment_link_id
    query = sa.select(PaymentLinkRow).order_by(key.desc()).limit(question.limit + 1)
    if question.status is not None:
        query = query.where(PaymentLinkRow.status == question.status)
    if question.cursor is not None:
        query = query.where(key < decode_cursor(question.cursor, 1)[0])
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    return m.PaymentLinkPage(
        items=[link_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].payment_link_id) if len(rows) > question.limit else None,
    )


@service.question(m.ListPaymentLinkUses)
async def list_payment_link_uses(work: UnitOfWork, question: m.ListPaymentLinkUses) -> m.PaymentLinkUsePage:
    """Return a page of uses, of one link or of all; raises Rejected `not_found`."""
    key = PaymentLinkUseRow.use_id
    query = sa.select(PaymentLinkUseRow).order_by(key.desc()).limit(question.limit + 1)
    if question.payment_link_id is not None:
        if await work.session.get(PaymentLinkRow, question.payment_link_id) is None:
            raise _not_found(question.payment_link_id)
        query = query.where(PaymentLinkUseRow.payment_link_id == question.payment_link_id)
    if question.cursor is not None:
        query = query.where(key < decode_cursor(question.cursor, 1)[0])
    rows = (await work.session.scalars(query)).all()
    shown = rows[: question.limit]
    return m.PaymentLinkUsePage(
        items=[use_snapshot(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].use_id) if len(rows) > question.limit else None,
    )


async def _plan(work: UnitOfWork, command: m.CreatePaymentLink) -> LinkIntent:
    catalog = await load_catalog(work)
    lines = as_rejection(lambda: order_lines(catalog, command.items, free=False))
    unknown = next((line.price for line in lines if line.price.stripe_price_id is None), None)
    if unknown is not None:
        raise Rejected(
            "payments_not_configured",
            f"{unknown.code!r} is not in Stripe yet. Apply the catalog again.",
            {"price": unknown.code},
        )
    named = {CUSTOMER_KEY: command.customer.token} if command.customer else {}
    return LinkIntent(
        payment_link_id=new_id("plink"),
        items=[{"price": line.price.code, "quantity": line.quantity} for line in lines],
        params=stripe_link_parameters(
            [{"price": line.price.stripe_price_id, "quantity": line.quantity} for line in lines],
            after_url=command.after_url,
            metadata=cast(dict[str, str], command.metadata or {}) | named,
            uses=command.uses,
        ),
    )


async def _record(
    work: UnitOfWork, command: m.CreatePaymentLink, intent: LinkIntent, stripe_id: str, url: str
) -> m.PaymentLinkFound:
    row = PaymentLinkRow(
        payment_link_id=intent.payment_link_id,
        version=0,
        url=url,
        status="active",
        items=intent.items,
        after_url=command.after_url,
        notes=command.metadata or {},
        customer=command.customer.token if command.customer else None,
        uses_max=command.uses,
        uses=0,
        stripe_payment_link_id=stripe_id,
        created_at=work.now,
    )
    work.session.add(row)
    emit_link(work, row, "created")
    return m.PaymentLinkFound(payment_link=link_snapshot(row))


async def _plan_deactivation(work: UnitOfWork, command: m.DeactivatePaymentLink) -> DeactivationIntent:
    row = await _lock_link(work, command.payment_link_id)
    return DeactivationIntent(
        stripe_payment_link_id=row.stripe_payment_link_id if row.status == "active" else None
    )


async def _record_deactivation(work: UnitOfWork, command: m.DeactivatePaymentLink) -> m.PaymentLinkFound:
    row = await _lock_link(work, command.payment_link_id)
    if row.status == "active":
        row.status = "deactivated"
        emit_link(work, row, "deactivated")
    return m.PaymentLinkFound(payment_link=link_snapshot(row))


async def _lock_link(work: UnitOfWork, payment_link_id: str) -> PaymentLinkRow:
    row = await work.session.get(
        PaymentLinkRow, payment_link_id, with_for_update=True, populate_existing=True
    )
    if row is None:
        raise _not_found(payment_link_id)
    return row


def _not_found(payment_link_id: str) -> Rejected:
    return Rejected(
        "not_found",
        f"There is no payment link {payment_link_id}.",
        {"payment_link_id": payment_link_id},
    )
