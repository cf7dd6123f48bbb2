"""`/api/v1/admin/workers`: which services answer, and how far each of their consumers is behind."""

from fastapi import APIRouter

from services.gateway.auth.authentication import AdminCaller
from services.gateway.dependencies import StateDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.worker_status import Workers, load_worker_status

router = APIRouter(prefix="/api/v1/admin/workers", tags=["admin: workers"])


@router.get("", response_model=Workers, responses=problem_responses())
async def workers(_: AdminCaller, state: StateDep) -> Workers:
    """Health and lag of every service."""
    return await load_worker_status(state.services)
