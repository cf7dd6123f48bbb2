"""`/admin/revenue` and `/admin/capacity`: the operators' pages of monitoring."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import AdminCaller
from services.gateway.commands import command_for
from services.gateway.pages.billing_parts import none_if_unavailable
from services.gateway.pages.dependencies import PageContextDep
from services.gateway.pages.forms import SEE_OTHER, FormCommandId
from services.gateway.pages.monitoring_views import feature_views, revenue_charts
from services.gateway.pages.page_route import PageRoute
from services.gateway.pages.templating import page_translations
from services.gateway.revenue_report import as_csv, revenue_question
from services.gateway.service_client import ServiceClient
from tallystick.messages import monitoring as m

router = APIRouter(prefix="/admin", include_in_schema=False, route_class=PageRoute)

SNAPSHOTS_SHOWN = 60
TREND_DAYS = 60
Day = Annotated[str, Query(max_length=10)]
By = Annotated[str, Query(max_length=5)]


@router.get("/revenue")
async def revenue(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    since: Day = "",
    until: Day = "",
    by: By = "month",
) -> Response:
    """Show the movements of revenue by period, in a chart and a table."""
    problem = ""
    try:
        question = _question(since, until, by)
    except ValueError:
        question, problem = (
            _question("", "", "month"),
            "This span cannot be reported; the last year is shown.",
        )
    found = await none_if_unavailable(page.services.request(question))
    translations = page_translations(request, caller)
    return page.templates.render(
        request,
        "admin/revenue.html",
        caller=caller,
        problem=problem,
        question=question,
        last_day=(question.until - timedelta(microseconds=1)).date(),
        unavailable=found is None,
        charts=revenue_charts(found.items, translations) if found is not None else [],
    )


@router.get("/revenue.csv")
async def revenue_csv(
    _: AdminCaller, page: PageContextDep, since: Day = "", until: Day = "", by: By = "month"
) -> Response:
    """Download the same as CSV; a span that cannot be reported is the last year."""
    try:
        question = _question(since, until, by)
    except ValueError:
        question = _question("", "", "month")
    found = await page.services.request_json(question)
    headers = {"Content-Disposition": 'attachment; filename="revenue.csv"'}
    return Response(as_csv(found["items"]), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/capacity")
async def capacity(
    request: Request,
    caller: AdminCaller,
    page: PageContextDep,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show the use of every feature with its forecast, the plans, and what to do."""
    found, trends, advice, snapshots = await asyncio.gather(
        none_if_unavailable(page.services.request(m.GetCapacity())),
        none_if_unavailable(page.services.request(m.GetTrends(days=TREND_DAYS))),
        none_if_unavailable(page.services.request(m.GetRecommendations())),
        load_snapshots(page.services, SNAPSHOTS_SHOWN),
    )
    translations = page_translations(request, caller)
    views = []
    if found is not None and trends is not None:
        views = feature_views(found.subscriptions, trends, snapshots, translations)
    return page.templates.render(
        request,
        "admin/capacity.html",
        caller=caller,
        done=done,
        capacity=found,
        trends=trends,
        views=views,
        advice=advice.items if advice is not None else None,
    )


@router.post("/capacity/snapshot")
async def capture(caller: AdminCaller, page: PageContextDep, command_id: FormCommandId) -> Response:
    """Capture today's snapshot."""
    await page.services.request(command_for(m.CaptureSnapshot, caller, command_id))
    return RedirectResponse("/admin/capacity?done=captured", SEE_OTHER)


async def load_snapshots(services: ServiceClient, days: int) -> list[m.Snapshot]:
    """Return the newest snapshots, oldest first; none while monitoring is unavailable."""
    found = await none_if_unavailable(services.request(m.ListSnapshots(limit=days)))
    return list(reversed(found.items)) if found is not None else []


def _question(since: str, until: str, by: str) -> m.GetRevenue:
    """Return the question for two days, both included. Raises ValueError."""
    if by not in ("day", "week", "month"):
        raise ValueError(by)
    start = _midnight(date.fromisoformat(since)) if since else None
    end = _midnight(date.fromisoformat(until)) + timedelta(days=1) if until else None
    return revenue_question(start, end, by, datetime.now(UTC))  # type: ignore[arg-type] # checked above


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(tzinfo=UTC))
