"""`/api/v1/billing/payouts`: a seller's connected account, balance, ledger entries and payouts."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import require_billing_manager
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep, StateDep
from services.gateway.openapi.responses import STRIPE_PAGE_CODES, problem_responses
from services.gateway.return_urls import check_return_urls
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import payouts as m
from tallystick.messages.base import Count, Currency, Email, Money, PositiveCount, Text, Url

router = APIRouter(prefix="/api/v1/billing/payouts", tags=["payouts"])

MANAGED = ("not_billing_manager",)


class ConnectAccountBody(Body, title="NewSeller"):
    """The seller's country, and where Stripe's form leads back to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "country": "DE",
                    "email": "seller@example.com",
                    "return_url": "https://app.example.com/earnings",
                }
            ]
        }
    )

    country: m.Country
    email: Email | None = None
    return_url: Url | None = Field(default=None, description="Absent: the seller's page of this gateway.")
    refresh_url: Url | None = Field(default=None, description="Where an expired form leads to.")


class SellerPageBody(Body, title="SellerPage"):
    """Where the page leads back to."""

    return_url: Url
    refresh_url: Url | None = None


class ScheduleBody(Body, title="SellerSchedule"):
    """When the seller wants to be paid; for how long earnings are held is up to the platform."""

    every: m.Every
    minimum: Count | Money = Field(
        default=0, description="Smallest payout in minor units: in every currency, or in the named one."
    )


class PayOutBody(Body, title="NewPayout"):
    """What to pay out."""

    amount: Money | PositiveCount | None = Field(
        default=None, description="With its currency, or in minor units of `currency`; absent: all."
    )
    currency: Currency | None = Field(default=None, description="Of which currency, if there are several.")
    reference: Annotated[Text, Field(min_length=1, max_length=500)] = "on demand"


@router.get("/account", response_model=m.AccountFound, responses=problem_responses(m.GetAccount))
async def account(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """Get the seller's connected account, with what Stripe still needs."""
    return await services.respond(m.GetAccount(customer=caller.customer))


@router.post(
    "/account",
    status_code=201,
    response_model=m.AccountConnected,
    responses=problem_responses(m.ConnectAccount, codes=STRIPE_PAGE_CODES),
)
async def connect(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: ConnectAccountBody,
) -> Response:
    """Open a connected account; the seller completes it at `onboarding_url`."""
    _check_urls(state, caller, body.return_url, body.refresh_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.ConnectAccount, caller, command_id, body), 201)


@router.post(
    "/onboarding",
    response_model=m.SellerPageOpened,
    responses=problem_responses(m.OpenOnboarding, codes=STRIPE_PAGE_CODES),
)
async def onboarding(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: SellerPageBody,
) -> Response:
    """Return the URL of Stripe's form for what is due."""
    _check_urls(state, caller, body.return_url, body.refresh_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.OpenOnboarding, caller, command_id, body))


@router.post(
    "/dashboard",
    response_model=m.SellerPageOpened,
    responses=problem_responses(m.OpenSellerDashboard, codes=STRIPE_PAGE_CODES),
)
async def dashboard(
    caller: ManageCaller,
    state: StateDep,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    body: SellerPageBody,
) -> Response:
    """Return the URL of the seller's dashboard at Stripe."""
    _check_urls(state, caller, body.return_url, body.refresh_url)
    await require_billing_manager(services, caller)
    return await services.respond(command_for(m.OpenSellerDashboard, caller, command_id, body))


@router.put(
    "/schedule",
    response_model=m.AccountFound,
    responses=problem_responses(m.SetPayoutSchedule, codes=MANAGED),
)
async def schedule(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ScheduleBody
) -> Response:
    """Set how often, and from what amount on, the seller is paid."""
    await require_billing_manager(services, caller)
    found = await services.request(m.GetAccount(customer=caller.customer))
    hold_days = found.account.schedule.hold_days
    command = command_for(
        m.SetPayoutSchedule, caller, command_id, body, hold_days=hold_days, minimum=body.minimum
    )
    return await services.respond(command)


@router.get("/balance", response_model=m.SellerBalances, responses=problem_responses(m.SellerBalance))
async def balance(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """Get what is pending, available and paid out, by currency."""
    return await services.respond(m.SellerBalance(customer=caller.customer))


@router.get("/entries", response_model=m.SellerEntryPage, responses=problem_responses(m.ListSellerEntries))
async def entries(
    caller: ReadCaller,
    services: ServiceClientDep,
    currency: Annotated[str | None, Query(pattern="^[a-z]{3}$")] = None,
    kind: m.EntryKind | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the seller's ledger entries, newest first."""
    question = m.ListSellerEntries(
        customer=caller.customer, currency=currency, kind=kind, limit=limit, cursor=cursor
    )
    return await services.respond(question)


@router.get("", response_model=m.PayoutPage, responses=problem_responses(m.ListPayouts))
async def payouts(
    caller: ReadCaller,
    services: ServiceClientDep,
    status: m.PayoutStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the seller's payouts, newest first."""
    question = m.ListPayouts(customer=caller.customer, status=status, limit=limit, cursor=cursor)
    return await services.respond(question)


@router.post(
    "",
    status_code=201,
    response_model=m.PayoutFound,
    responses=problem_responses(m.PayOut, codes=MANAGED),
)
async def pay_out(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: PayOutBody
) -> Response:
    """Pay out what is available, or a part of it."""
    await require_billing_manager(services, caller)
    command = command_for(m.PayOut, caller, command_id, body, reference=body.reference)
    return await services.respond(command, 201)


def _check_urls(state: StateDep, caller: ManageCaller, *urls: str | None) -> None:
    names = ("return_url", "refresh_url")
    given = {name: url for name, url in zip(names, urls, strict=True) if url is not None}
    check_return_urls(state.settings, caller, **given)
