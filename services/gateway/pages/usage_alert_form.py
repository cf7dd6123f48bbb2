"""The form of usage alerts: the percentages at which a customer is told how much of their units is used."""

import re

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_payable_account, require_billing_manager
from services.gateway.commands import command_for
from services.gateway.pages.billing_form_route import BillingFormRoute
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import FormCommandId, Text, redirect_to_billing
from services.gateway.problem_details import ProblemError
from tallystick.messages import consumables as m
from tallystick.messages.consumables.alerts import PERCENTS_MAX

router = APIRouter(prefix="/billing", include_in_schema=False, route_class=BillingFormRoute)

SEPARATORS = re.compile(r"[\s,;]+")
PERCENT = re.compile(r"([0-9]{1,3})%?")


@router.post("/usage-alerts")
async def set_usage_alerts(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    account: Text,
    feature: Text,
    percents: Text = "",
) -> Response:
    """Set the usage alerts of an account and feature; an empty field removes them."""
    await require_billing_manager(page.services, caller)
    command = command_for(
        m.SetUsageAlerts,
        caller,
        command_id,
        account=await find_payable_account(page.services, caller, account),
        feature=feature,
        percents=parse_percents(percents),
    )
    await page.services.request(command)
    return redirect_to_billing("alerts_set" if command.percents else "alerts_removed", "usage")


def parse_percents(text: str) -> list[int]:
    """Parse percentages such as `50, 80, 100`, each once and in ascending order.

    Raises ProblemError `invalid_percents`.
    """
    found = [PERCENT.fullmatch(part) for part in SEPARATORS.split(text.replace(" %", "%")) if part]
    percents = sorted({int(one[1]) for one in found if one is not None})
    is_valid = all(found) and len(percents) <= PERCENTS_MAX and all(1 <= one <= 100 for one in percents)
    if not is_valid:
        raise ProblemError("invalid_percents")
    return percents
