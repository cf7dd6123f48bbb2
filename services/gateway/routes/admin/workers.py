"""`/api/v1/admin/workers`: which services answer, and how far each of their consumers is behind."""

from fastapi import APIRouter

from services.gateway.authentication import Operating
from services.gateway.openapi import refusals
from services.gateway.parts import Gateway
from services.gateway.watching import Workers, look_at_workers

router = APIRouter(prefix="/api/v1/admin/workers", tags=["admin: workers"])


@router.get("", response_model=Workers, responses=refusals())
async def workers(_: Operating, gateway: Gateway) -> Workers:
    """Health and lag of every service."""
    return await look_at_workers(gateway.billing)
