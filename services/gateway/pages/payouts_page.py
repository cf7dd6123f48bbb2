"""`/billing/payouts`, where a seller sees what was earned and gets paid, and its forms."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import ManageCaller, ReadCaller
from services.gateway.auth.ownership import require_billing_manager
from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.commands import command_for
from services.gateway.pages import payouts_view
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.dependencies import PageContext, PageContextDep, page_context
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import SEE_OTHER, FormCommandId, Text, parse_amount, redirect
from services.gateway.pages.i18n import Translations, translations_for_request
from services.gateway.pages.page_route import PageRoute, current_caller
from services.gateway.problem_details import ProblemError
from services.gateway.schemas import Cursor
from tallystick.messages import payouts as m
from tallystick.messages.base import Money
from tallystick.messages.catalog import GetCatalog

PATH = "/billing/payouts"
SHOWN_PAYOUTS = 10
SHOWN_ENTRIES = 25
Answer = TypeVar("Answer")


class PayoutsRoute(PageRoute):
    """A route that renders its errors on the seller's page."""

    async def render_problem(self, request: Request, error: ProblemError) -> Response:
        """Render the seller's page with an error, or a page of its own if the caller may not see that."""
        caller = await current_caller(request)
        if caller is None or error.code == "csrf_failed" or request.method != "POST":
            return await super().render_problem(request, error)
        try:
            return await _render(request, caller, page_context(request), error=error)
        except ProblemError:  # the page's data cannot be loaded either
            return await super().render_problem(request, error)


router = APIRouter(prefix=PATH, include_in_schema=False, route_class=PayoutsRoute)


@dataclass(frozen=True, slots=True)
class SellerData:
    """What the page shows; None: cannot be loaded just now."""

    account: m.PayoutAccountSnapshot | None
    is_known: bool
    """Whether the answer about the account came, even if there is none."""
    balances: m.SellerBalances | None
    payouts: m.PayoutPage | None
    entries: m.SellerEntryPage | None
    product_names: Mapping[str, str]
    """By code; without those that cannot be loaded."""


@router.get("")
async def payouts_page(
    request: Request,
    caller: ReadCaller,
    page: PageContextDep,
    done: str = "",
    payouts: Cursor = None,
    entries: Cursor = None,
) -> Response:
    """Show the seller's account, balance, schedule, payouts and ledger entries."""
    return await _render(request, caller, page, done=done, payouts=payouts, entries=entries)


@router.post("/connect")
async def connect(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, country: Text
) -> Response:
    """Open a connected account and go on to Stripe's form."""
    await require_billing_manager(page.services, caller)
    command = command_for(
        m.ConnectAccount,
        caller,
        command_id,
        country=country,
        email=caller.email,
        return_url=page.url(f"{PATH}?done=onboarded"),
        refresh_url=page.url(PATH),
    )
    return redirect((await page.services.request(command)).onboarding_url)


@router.post("/onboarding")
async def onboarding(caller: ManageCaller, page: PageContextDep, command_id: FormCommandId) -> Response:
    """Go to Stripe's form for what is due."""
    await require_billing_manager(page.services, caller)
    command = command_for(
        m.OpenOnboarding,
        caller,
        command_id,
        return_url=page.url(f"{PATH}?done=onboarded"),
        refresh_url=page.url(PATH),
    )
    return redirect((await page.services.request(command)).url)


@router.post("/dashboard")
async def dashboard(caller: ManageCaller, page: PageContextDep, command_id: FormCommandId) -> Response:
    """Go to the seller's dashboard at Stripe."""
    await require_billing_manager(page.services, caller)
    command = command_for(m.OpenSellerDashboard, caller, command_id, return_url=page.url(PATH))
    return redirect((await page.services.request(command)).url)


@router.post("/schedule")
async def schedule(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    every: Text,
    currency: Text,
    minimum: Text = "",
) -> Response:
    """Set how often the seller is paid, and from what amount on."""
    await require_billing_manager(page.services, caller)
    found = (await page.services.request(m.GetAccount(customer=caller.customer))).account
    amount = parse_amount(minimum, currency) or 0
    command = command_for(
        m.SetPayoutSchedule,
        caller,
        command_id,
        hold_days=found.schedule.hold_days,
        every=every,
        minimum=Money(amount=amount, currency=currency),
    )
    await page.services.request(command)
    return _back("payout_schedule", "schedule")


@router.post("/pay-out")
async def pay_out(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, currency: Text, amount: Text = ""
) -> Response:
    """Pay out what is available in a currency, or a part of it."""
    await require_billing_manager(page.services, caller)
    wanted = parse_amount(amount, currency)
    command = command_for(
        m.PayOut,
        caller,
        command_id,
        currency=currency,
        amount=Money(amount=wanted, currency=currency) if wanted is not None else None,
        reference=payouts_view.ON_DEMAND,
    )
    payout = (await page.services.request(command)).payout
    if payout.status == "failed":
        raise ProblemError("payout_failed")
    return _back("paid_out", "balance")


async def _render(
    request: Request,
    caller: Caller,
    page: PageContext,
    *,
    done: str = "",
    error: ProblemError | None = None,
    payouts: str | None = None,
    entries: str | None = None,
) -> Response:
    translations = translations_for_request(request)
    data = await _load(page, caller, payouts, entries)
    return page.templates.render(
        request,
        "payouts.html",
        caller=caller,
        status=error.status if error else 200,
        page_url=None if request.url.path == PATH else PATH,
        done=translations.translate(f"done.{done}") if translations.has_text(f"done.{done}") else None,
        problem=_message(error, translations) if error else None,
        may_change=caller.may(MANAGE),
        account=data.account,
        is_known=data.is_known,
        countries=payouts_view.countries(translations),
        state=payouts_view.account_state(data.account),
        due=payouts_view.requirements(data.account, translations),
        balances=payouts_view.balances(data.balances, translations),
        payouts=data.payouts,
        entries=data.entries,
        schedule=payouts_view.schedule(data.account, data.balances, translations),
        reference_of=lambda payout: payouts_view.payout_reference(payout.reference, translations),
        reason_of=lambda entry: payouts_view.entry_reason(entry, data.product_names, translations),
    )


async def _load(page: PageContext, caller: Caller, payouts: str | None, entries: str | None) -> SellerData:
    customer = caller.customer
    if customer.type != "organization":
        raise ProblemError("not_a_seller")
    account, balances, paid, listed, found = await asyncio.gather(
        none_if_unavailable(_or_none(page.services.request(m.GetAccount(customer=customer)))),
        none_if_unavailable(page.services.request(m.SellerBalance(customer=customer))),
        none_if_unavailable(
            page.services.request(m.ListPayouts(customer=customer, limit=SHOWN_PAYOUTS, cursor=payouts))
        ),
        none_if_unavailable(
            page.services.request(m.ListSellerEntries(customer=customer, limit=SHOWN_ENTRIES, cursor=entries))
        ),
        none_if_unavailable(page.services.request(GetCatalog(include_archived=True))),
    )
    return SellerData(
        account=account[0].account if account and account[0] else None,
        is_known=account is not None,
        balances=balances,
        payouts=paid,
        entries=listed,
        product_names={one.code: one.name for one in found.catalog.products} if found else {},
    )


async def _or_none(answer: Awaitable[Answer]) -> tuple[Answer | None]:
    """Await an answer; return (None,) if there is nothing of the kind."""
    try:
        return (await answer,)
    except ProblemError as error:
        if error.code != "not_found":
            raise
        return (None,)


def _message(error: ProblemError, translations: Translations) -> str:
    """Return the error's text; amounts of money are written as such."""
    facts: dict[str, Any] = error.details if isinstance(error.details, dict) else {}
    currency = facts.get("currency")
    if isinstance(currency, str):
        written = {
            name: translations.money(fact, currency) for name, fact in facts.items() if type(fact) is int
        }
        error = ProblemError(f"payout_{error.code}", error.detail, {**facts, **written})
    return error_message(error, translations)


def _back(done: str, section: str) -> Response:
    return RedirectResponse(f"{PATH}?done={done}#{section}", SEE_OTHER)
