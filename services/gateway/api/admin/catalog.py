"""`/api/v1/admin/catalog`: shows the catalog and applies a new one."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from tallystick.messages import catalog as m

router = APIRouter(prefix="/api/v1/admin/catalog", tags=["admin: catalog"])


Document = Annotated[
    m.AnyDocument, Body(description="The whole catalog; products and prices that it omits are archived.")
]


@router.get("", response_model=m.CatalogFound, responses=problem_responses(m.GetCatalog))
async def catalog(_: AdminCaller, services: ServiceClientDep) -> Response:
    """Show the catalog, including archived products and prices."""
    return await services.respond(m.GetCatalog())


@router.put("", response_model=m.CatalogApplied, responses=problem_responses(m.ApplyCatalog))
async def apply(
    caller: AdminCaller, services: ServiceClientDep, command_id: RequestCommandId, body: Document
) -> Response:
    """Replace the catalog with a document, completely or not at all."""
    return await services.respond(command_for(m.ApplyCatalog, caller, command_id, catalog=body))
