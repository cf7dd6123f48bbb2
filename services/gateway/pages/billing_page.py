"""`/billing`: a customer's plan, units, team and invoices on one page; its forms render it again."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.auth.authentication import ReadCaller
from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.pages import view_models
from services.gateway.pages.billing_data import BillingPageData, load_billing_page_data
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.i18n import Translations, translations_for_request
from services.gateway.pages.meters import meters, owed_with_invoice
from services.gateway.pages.page_route import PageRoute
from services.gateway.pages.tax_text import invoice_tax_view
from services.gateway.pages.usage_history import load_spending, load_usage, spending_views, usage_views
from services.gateway.problem_details import ProblemError

router = APIRouter(include_in_schema=False, route_class=PageRoute)

PATH = "/billing"
DONE_MAX_CHARACTERS = 40
NO_FORM_VALUES: Mapping[str, str] = {}
Cursor = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class InvitationResults:
    """The outcome of inviting people: links, which are shown only once, and errors, each by address."""

    links: list[tuple[str, str | None]]
    errors: list[tuple[str, ProblemError]]


@dataclass(frozen=True, slots=True)
class ShownLicenseKey:
    """A license key, which is shown only once."""

    product: str
    key: str


@router.get(PATH)
async def billing_page(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    done: Annotated[str, Query(max_length=DONE_MAX_CHARACTERS)] = "",
    seats: Cursor = None,
    invoices: Cursor = None,
) -> Response:
    """Show the billing page."""
    cursors = {name: cursor for name, cursor in (("seats", seats), ("invoices", invoices)) if cursor}
    return await render_billing_page(request, caller, page, done=done, cursors=cursors)


async def render_billing_page(
    request: Request,
    caller: Caller,
    page: PageContext,
    *,
    done: str = "",
    error: ProblemError | None = None,
    cursors: dict[str, str] | None = None,
    form_values: Mapping[str, str] = NO_FORM_VALUES,
    invited: InvitationResults | None = None,
    license_key: ShownLicenseKey | None = None,
) -> Response:
    """Render the billing page with the outcome of a form; `form_values` refill a form that was rejected."""
    translations = translations_for_request(request)
    data = await load_billing_page_data(page.services, caller, cursors or {})
    now = datetime.now(UTC)
    usage, spent = await asyncio.gather(
        load_usage(page.services, data, now), load_spending(page.services, data, now)
    )
    not_invited = (
        [(email, error_message(why, translations)) for email, why in invited.errors] if invited else []
    )
    return page.templates.render(
        request,
        "billing.html",
        caller=caller,
        status=error.status if error else 200,
        page_url=None if request.url.path == PATH else PATH,
        done=translations.translate(f"done.{done}") if translations.has_text(f"done.{done}") else None,
        problem=error_message(error, translations) if error else None,
        form_values=form_values,
        invited=invited.links if invited else [],
        not_invited=not_invited,
        license_key=license_key,
        usage_history=usage_views(usage, data, translations, now.date()),
        spending=spending_views(spent, translations),
        **_template_values(data, translations, cursors or {}),
    )


def _template_values(
    data: BillingPageData, translations: Translations, cursors: dict[str, str]
) -> dict[str, Any]:
    team = data.team
    return {
        "data": data,
        "unavailable": data.unavailable,
        "may_change": data.may_change,
        "may_manage": data.caller.may(MANAGE),
        "plan": view_models.plan_view(data, translations),
        "meters": meters(data, translations),
        "team": team,
        "team_is_open": team is not None and team.status == "open",
        "seats": data.seats,
        "may_manage_team": data.may_change and data.manages_team and not data.is_a_guest,
        "add_ons": [add_on for add_on in data.add_ons if add_on.status not in view_models.ENDED],
        "plan_ends_at": view_models.plan_ends_at(data),
        "owned_add_ons": view_models.owned_add_ons(data),
        "add_on_offers": view_models.offers(data.catalog.add_ons, data.catalog, translations),
        "invoices": data.invoices,
        "owed": [
            invoice
            for invoice in (data.invoices.items if data.invoices is not None else [])
            if invoice.status == "open" and invoice.hosted_invoice_url is not None
        ],
        "invoice_taxes": {
            invoice.invoice_id: view
            for invoice in (data.invoices.items if data.invoices is not None else [])
            if (view := invoice_tax_view(invoice, translations)) is not None
        },
        "upcoming_invoice": data.upcoming_invoice,
        "owed_with_invoice": owed_with_invoice(data),
        "recharges": view_models.recharges(data, translations),
        "licenses": data.licenses,
        "may_manage_licenses": data.may_change and not data.is_a_guest,
        "cursors": cursors,
        "product_name": lambda code: getattr(data.catalog.product(code), "name", code),
    }
