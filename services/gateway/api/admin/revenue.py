"""`/api/v1/admin/revenue`: revenue by day, week or month, as JSON or CSV."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from pydantic import JsonValue, ValidationError

from services.gateway.auth.authentication import AdminCaller
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import Responses, problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.revenue_report import COLUMNS, as_csv, revenue_question
from services.gateway.service_client import json_response
from tallystick.messages import monitoring as m
from tallystick.messages.base import Instant

router = APIRouter(prefix="/api/v1/admin/revenue", tags=["admin: revenue"])

CSV = "text/csv"
AS_CSV: Responses = {
    200: {
        "description": "The periods; as CSV with `Accept: text/csv`.",
        "content": {CSV: {"schema": {"type": "string"}, "example": ",".join(COLUMNS) + "\r\n"}},
    }
}
JANUARY, FEBRUARY = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


@router.get("", response_model=m.Revenue, responses=AS_CSV | problem_responses(m.GetRevenue))
async def revenue(
    _: AdminCaller,
    services: ServiceClientDep,
    since: Annotated[
        Instant | None,
        Query(description="Start; absent: eleven months before the month of `until`.", examples=[JANUARY]),
    ] = None,
    until: Annotated[Instant | None, Query(description="End; absent: now.", examples=[FEBRUARY])] = None,
    by: Annotated[m.By, Query(description="Length of the periods.")] = "month",
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """Report recurring revenue, its movements, trials, churn and money, for each period and currency."""
    try:
        question = revenue_question(since, until, by, datetime.now(UTC))
    except ValidationError as error:
        problems: JsonValue = [{"field": "until", "problem": each["msg"]} for each in error.errors()]
        raise ProblemError("invalid_message", "This span cannot be reported.", problems) from error
    found = await services.request_json(question)
    if CSV in accept:
        headers = {"Content-Disposition": 'attachment; filename="revenue.csv"', "Vary": "Accept"}
        return Response(as_csv(found["items"]), media_type=f"{CSV}; charset=utf-8", headers=headers)
    response = json_response(found)
    response.headers["Vary"] = "Accept"
    return response
