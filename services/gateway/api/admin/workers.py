"""`/api/v1/admin/workers`: the health of the services and the lag of their consumers."""

from fastapi import APIRouter

from services.gateway.auth.authentication import AdminCaller
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.worker_status import Workers, load_worker_status

router = APIRouter(prefix="/api/v1/admin/workers", tags=["admin: workers"])


@router.get("", response_model=Workers, responses=problem_responses())
async def workers(_: AdminCaller, state: StateDep) -> Workers:
    """Show the health and lag of every service."""
    return await load_worker_status(state.services)
