"""`/api/v1/billing`: entitlements, balances, usage, consumption and auto-recharge."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import (
    find_payable_account,
    find_readable_account,
    require_billing_manager,
)
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.schemas import Body, Cursor, Limit
from tallystick.messages import consumables as m
from tallystick.messages.base import Code, Count, Customer, Instant, Metadata, Money
from tallystick.messages.subscriptions import EntitlementPage, ListEntitlements

router = APIRouter(prefix="/api/v1/billing", tags=["units"])

FEBRUARY, MARCH = "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"

AccountInQuery = Annotated[
    m.Account | None, Query(description="Absent: all accounts that the caller may use.", max_length=100)
]


class ConsumeBody(Body, title="Use"):
    """The units to consume."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"feature": "mentorship_hours", "quantity": 2}]}
    )

    feature: Code
    quantity: m.Units = 1
    consumer: Customer | None = Field(default=None, description="Who uses the units; must be the caller.")
    account: m.Account | None = Field(
        default=None, description="Absent: all accounts that the caller may use."
    )
    partial: bool = Field(
        default=False, description="Consume the remaining units if there are fewer, but at least one."
    )
    metadata: Metadata | None = None


class SetUsageAlertsBody(Body, title="UsageAlertsRule"):
    """At which percentages of a cycle's units an event tells of the usage."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"feature": "mentorship_hours", "percents": [50, 80, 100]}]}
    )

    feature: Code
    percents: m.Percents
    account: m.Account | None = Field(default=None, description="Absent: the customer's own account.")


class SetAutoRechargeBody(Body, title="AutoRechargeRule"):
    """When more units are bought automatically, and how many."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "feature": "mentorship_hours",
                    "enabled": True,
                    "threshold": 20,
                    "recharge_quantity": 50,
                    "max_spend_per_period": {"amount": 100000, "currency": "eur"},
                }
            ]
        }
    )

    feature: Code
    enabled: bool
    threshold: Count
    recharge_quantity: m.Units
    max_spend_per_period: Money | None = Field(default=None, description="Absent: no maximum.")
    account: m.Account | None = Field(default=None, description="Absent: the customer's own account.")
    due_now: Money | None = Field(default=None, description="The amount of the preview; absent: not checked.")


@router.get("/entitlements", response_model=EntitlementPage, responses=problem_responses(ListEntitlements))
async def entitlements(
    caller: ReadCaller, services: ServiceClientDep, limit: Limit = 200, cursor: Cursor = None
) -> Response:
    """List the caller's entitlements, by feature."""
    return await services.respond(ListEntitlements(customer=caller.person, limit=limit, cursor=cursor))


@router.get(
    "/balances",
    response_model=m.BalancePage,
    responses=problem_responses(m.ListBalances, codes=["not_found"]),
)
async def balances(
    caller: ReadCaller,
    services: ServiceClientDep,
    account: AccountInQuery = None,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List the balance of every limit and kind of units."""
    if account is None:
        return await services.respond(m.ListBalances(consumer=caller.person, limit=limit, cursor=cursor))
    within_reach = await find_readable_account(services, caller, account)
    return await services.respond(m.ListBalances(account=within_reach, limit=limit, cursor=cursor))


@router.get("/usage", response_model=m.UsageReport, responses=problem_responses(m.Usage))
async def usage(
    caller: ReadCaller,
    services: ServiceClientDep,
    feature: Code,
    since: Annotated[
        Instant, Query(description="Start of the report, rounded down to the day.", examples=[FEBRUARY])
    ],
    until: Annotated[
        Instant,
        Query(description="End of the report; its day counts unless it is midnight.", examples=[MARCH]),
    ],
    by: Literal["day", "week", "month"] = "day",
    group_by: Literal["consumer"] | None = None,
) -> Response:
    """Report the usage of the customer's units over time."""
    question = m.Usage(
        customer=caller.customer, feature=feature, since=since, until=until, by=by, group_by=group_by
    )
    return await services.respond(question)


@router.post(
    "/consume",
    response_model=m.Consumed,
    responses=problem_responses(m.Consume, codes=["forbidden", "not_found"]),
)
async def consume(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: ConsumeBody
) -> Response:
    """Consume units, all or none unless `partial`; for a limit, occupy it."""
    if body.consumer not in (None, caller.person):
        raise ProblemError("forbidden", "Units are used by the caller; leave `consumer` out.")
    if body.account is not None:
        await find_readable_account(services, caller, body.account)
    return await services.respond(command_for(m.Consume, caller, command_id, body, consumer=caller.person))


@router.get("/auto-recharge", response_model=m.AutoRecharge, responses=problem_responses(m.GetAutoRecharge))
async def auto_recharge(
    caller: ReadCaller, services: ServiceClientDep, feature: Code, account: m.Account | None = None
) -> Response:
    """Show the auto-recharge of a feature."""
    within_reach = await find_readable_account(services, caller, account)
    return await services.respond(m.GetAutoRecharge(account=within_reach, feature=feature))


@router.put(
    "/auto-recharge",
    response_model=m.AutoRecharge,
    responses=problem_responses(m.SetAutoRecharge, codes=["not_billing_manager", "not_found"]),
)
async def set_auto_recharge(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: SetAutoRechargeBody
) -> Response:
    """Set the auto-recharge of a feature; setting it again ends a suspension."""
    await require_billing_manager(services, caller)
    account = await find_payable_account(services, caller, body.account)
    return await services.respond(command_for(m.SetAutoRecharge, caller, command_id, body, account=account))


@router.get("/usage-alerts", response_model=m.UsageAlerts, responses=problem_responses(m.GetUsageAlerts))
async def usage_alerts(
    caller: ReadCaller, services: ServiceClientDep, feature: Code, account: m.Account | None = None
) -> Response:
    """Show the usage alerts of a feature."""
    within_reach = await find_readable_account(services, caller, account)
    return await services.respond(m.GetUsageAlerts(account=within_reach, feature=feature))


@router.put(
    "/usage-alerts",
    response_model=m.UsageAlerts,
    responses=problem_responses(m.SetUsageAlerts, codes=["not_billing_manager", "not_found"]),
)
async def set_usage_alerts(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: SetUsageAlertsBody
) -> Response:
    """Set the usage alerts of a feature; an empty list removes them."""
    await require_billing_manager(services, caller)
    account = await find_payable_account(services, caller, body.account)
    return await services.respond(command_for(m.SetUsageAlerts, caller, command_id, body, account=account))
