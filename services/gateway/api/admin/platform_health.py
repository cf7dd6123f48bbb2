"""`/api/v1/admin/platform-health`: health, capacity, trends, recommendations and snapshots."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from tallystick.messages import monitoring as m

router = APIRouter(prefix="/api/v1/admin/platform-health", tags=["admin: platform health"])

DAYS_DEFAULT = 30


@router.get("/health", response_model=m.Health, responses=problem_responses(m.GetHealth))
async def health(_: AdminCaller, services: ServiceClientDep) -> Response:
    """Show the health of services, database and streams, and the alarms that are raised."""
    return await services.respond(m.GetHealth())


@router.get("/capacity", response_model=m.Capacity, responses=problem_responses(m.GetCapacity))
async def capacity(_: AdminCaller, services: ServiceClientDep) -> Response:
    """Show what is sold, used and stored now, and the machines that fit it."""
    return await services.respond(m.GetCapacity())


@router.get(
    "/subscription-capacity",
    response_model=m.SubscriptionCapacity,
    responses=problem_responses(m.GetSubscriptionCapacity),
)
async def subscription_capacity(_: AdminCaller, services: ServiceClientDep) -> Response:
    """Show the use of every limit and consumable against what was sold."""
    return await services.respond(m.GetSubscriptionCapacity())


@router.get("/trends", response_model=m.Trends, responses=problem_responses(m.GetTrends))
async def trends(
    _: AdminCaller,
    services: ServiceClientDep,
    days: Annotated[int, Query(ge=1, le=400, description="Length of the span.")] = DAYS_DEFAULT,
) -> Response:
    """Show the growth of every figure over the snapshots of the last days."""
    return await services.respond(m.GetTrends(days=days))


@router.get(
    "/recommendations", response_model=m.Recommendations, responses=problem_responses(m.GetRecommendations)
)
async def recommendations(_: AdminCaller, services: ServiceClientDep) -> Response:
    """List what the figures suggest to do, the most severe first."""
    return await services.respond(m.GetRecommendations())


@router.post("/snapshot", response_model=m.SnapshotCaptured, responses=problem_responses(m.CaptureSnapshot))
async def snapshot(caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId) -> Response:
    """Capture today's snapshot; it replaces the one of today."""
    return await services.respond(command_for(m.CaptureSnapshot, caller, command_id))
