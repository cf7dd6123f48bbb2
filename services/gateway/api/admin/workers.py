"""`/api/v1/admin/workers`: which services answer, and how far each of their consumers is behind."""

from fastapi import APIRouter

from services.gateway.auth.authentication import Operating
from services.gateway.dependencies import Gateway
from services.gateway.openapi import refusals
from services.gateway.worker_status import Workers, look_at_workers

router = APIRouter(prefix="/api/v1/admin/workers", tags=["admin: workers"])


@router.get("", response_model=Workers, responses=refusals())
async def workers(_: Operating, gateway: Gateway) -> Workers:
    """Health and lag of every service."""
    return await look_at_workers(gateway.billing)
