"""`/api/v1/billing/spending`: what the calling customer paid, by period."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import JsonValue, ValidationError

from services.gateway.auth.authentication import ReadCaller
from services.gateway.auth.ownership import require_billing_manager
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.problem_details import ProblemError
from tallystick.messages import monitoring as m
from tallystick.messages.base import Instant

router = APIRouter(prefix="/api/v1/billing", tags=["subscription"])

JANUARY, MARCH = "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"


@router.get(
    "/spending",
    response_model=m.Spending,
    responses=problem_responses(m.GetSpending, codes=["not_billing_manager"]),
)
async def spending(
    caller: ReadCaller,
    services: ServiceClientDep,
    since: Annotated[Instant, Query(description="Start; its whole day is included.", examples=[JANUARY])],
    until: Annotated[
        Instant, Query(description="End; its day is included unless it is midnight.", examples=[MARCH])
    ],
    by: Annotated[m.By, Query(description="Length of the periods.")] = "month",
) -> Response:
    """Report what the customer paid, with refunds and the part that bought units."""
    await require_billing_manager(services, caller)
    try:
        question = m.GetSpending(customer=caller.customer, since=since, until=until, by=by)
    except ValidationError as error:
        problems: JsonValue = [{"field": "until", "problem": each["msg"]} for each in error.errors()]
        raise ProblemError("invalid_message", "This span cannot be reported.", problems) from error
    return await services.respond(question)
