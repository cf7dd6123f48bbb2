"""`/api/v1/admin/catalog`: what is sold, as it stands and as a new document has it."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from services.gateway.auth.authentication import CommandKey, Operating
from services.gateway.commands import command_for
from services.gateway.dependencies import Services
from services.gateway.openapi import refusals
from tallystick.messages import catalog as m

router = APIRouter(prefix="/api/v1/admin/catalog", tags=["admin: catalog"])


Document = Annotated[m.AnyDocument, Body(description="The whole catalog: what it leaves out is archived.")]


@router.get("", response_model=m.CatalogFound, responses=refusals(m.GetCatalog))
async def catalog(_: Operating, billing: Services) -> Response:
    """The catalog as it stands, archived things included."""
    return await billing.respond(m.GetCatalog())


@router.put("", response_model=m.CatalogApplied, responses=refusals(m.ApplyCatalog))
async def apply(caller: Operating, billing: Services, command_id: CommandKey, body: Document) -> Response:
    """Make the catalog what a document says, all or nothing."""
    return await billing.respond(command_for(m.ApplyCatalog, caller, command_id, catalog=body))
