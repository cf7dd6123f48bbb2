"""`/billing/webhooks`: a customer's webhook endpoints and deliveries, with forms to change and test."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from services.gateway.auth.authentication import ManageCaller
from services.gateway.auth.ownership import find_endpoint, require_billing_manager
from services.gateway.auth.principal import Caller
from services.gateway.commands import command_for
from services.gateway.pages.dependencies import PageContext, PageContextDep
from services.gateway.pages.error_messages import error_message
from services.gateway.pages.forms import SEE_OTHER, FormCommandId, Text
from services.gateway.pages.i18n import translations_for_request
from services.gateway.pages.page_route import PageRoute
from services.gateway.problem_details import ProblemError
from tallystick.messages import notifications as m

router = APIRouter(prefix="/billing/webhooks", include_in_schema=False, route_class=PageRoute)

EndpointId = Annotated[str, Path(max_length=100)]
LISTED_MAX = 50
PATH = "/billing/webhooks"


@router.get("")
async def webhooks_page(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    done: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Show the endpoints, and a form for another one."""
    await require_billing_manager(page.services, caller)
    return await _render_list(request, caller, page, done=done)


@router.post("")
async def create(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    url: Annotated[str, Form(max_length=2_048)],
    events: Text,
    description: Text = "",
) -> Response:
    """Create an endpoint; the page shows its secret once."""
    await require_billing_manager(page.services, caller)
    values = {"url": url.strip(), "events": events, "description": description}
    try:
        command = command_for(
            m.CreateEndpoint,
            caller,
            command_id,
            customer=caller.customer,
            url=values["url"],
            events=events.replace(",", " ").split() or ["*"],
            description=description.strip() or None,
        )
        created = await page.services.request(command)
    except ValueError:
        return await _render_list(request, caller, page, error=ProblemError("unknown_events"), values=values)
    except ProblemError as error:
        return await _render_list(request, caller, page, error=error, values=values)
    return await _render_one(request, caller, page, created.endpoint, secret=created.secret)


@router.get("/{endpoint_id}")
async def endpoint_page(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    endpoint_id: EndpointId,
    done: Annotated[str, Query(max_length=40)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Show an endpoint with its last deliveries."""
    endpoint = await find_endpoint(page.services, caller, endpoint_id)
    return await _render_one(request, caller, page, endpoint, done=done, cursor=cursor)


@router.post("/{endpoint_id}/rotate")
async def rotate(
    request: Request,
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    endpoint_id: EndpointId,
) -> Response:
    """Give the endpoint a new secret; the page shows it once."""
    await find_endpoint(page.services, caller, endpoint_id)
    command = command_for(m.RotateEndpointSecret, caller, command_id, endpoint_id=endpoint_id)
    rotated = await page.services.request(command)
    return await _render_one(request, caller, page, rotated.endpoint, secret=rotated.secret)


@router.post("/{endpoint_id}/test")
async def test(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, endpoint_id: EndpointId
) -> Response:
    """Send a test event."""
    await find_endpoint(page.services, caller, endpoint_id)
    command = m.SendTest(command_id=command_id, requested_by=caller.person.token, endpoint_id=endpoint_id)
    await page.services.request(command)
    return _back(endpoint_id, "webhook_tested")


@router.post("/{endpoint_id}/redeliver")
async def redeliver(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    endpoint_id: EndpointId,
    event_id: Annotated[str, Form(max_length=100)],
) -> Response:
    """Send an event again."""
    await find_endpoint(page.services, caller, endpoint_id)
    command = command_for(m.Redeliver, caller, command_id, endpoint_id=endpoint_id, event_ids=[event_id])
    await page.services.request(command)
    return _back(endpoint_id, "webhook_redelivered")


@router.post("/{endpoint_id}/switch")
async def switch(
    caller: ManageCaller,
    page: PageContextDep,
    command_id: FormCommandId,
    endpoint_id: EndpointId,
    enabled: Annotated[str, Form(max_length=5)],
) -> Response:
    """Switch an endpoint off or on again."""
    await find_endpoint(page.services, caller, endpoint_id)
    command = command_for(
        m.UpdateEndpoint, caller, command_id, endpoint_id=endpoint_id, enabled=enabled == "true"
    )
    await page.services.request(command)
    return _back(endpoint_id, "webhook_changed")


@router.post("/{endpoint_id}/delete")
async def delete(
    caller: ManageCaller, page: PageContextDep, command_id: FormCommandId, endpoint_id: EndpointId
) -> Response:
    """Delete an endpoint."""
    await find_endpoint(page.services, caller, endpoint_id)
    await page.services.request(command_for(m.DeleteEndpoint, caller, command_id, endpoint_id=endpoint_id))
    return RedirectResponse(f"{PATH}?done=webhook_deleted", SEE_OTHER)


def _back(endpoint_id: str, done: str) -> Response:
    return RedirectResponse(f"{PATH}/{endpoint_id}?done={done}", SEE_OTHER)


async def _render_list(
    request: Request,
    caller: Caller,
    page: PageContext,
    *,
    done: str = "",
    error: ProblemError | None = None,
    values: dict[str, str] | None = None,
) -> Response:
    translations = translations_for_request(request)
    found = await page.services.request(m.ListEndpoints(customer=caller.customer, limit=LISTED_MAX))
    return page.templates.render(
        request,
        "webhooks.html",
        caller=caller,
        status=error.status if error else 200,
        page_url=PATH,
        endpoints=found.items,
        values=values or {},
        done=_done(done, request),
        problem=error_message(error, translations) if error else None,
    )


async def _render_one(
    request: Request,
    caller: Caller,
    page: PageContext,
    endpoint: m.EndpointSnapshot,
    *,
    done: str = "",
    cursor: str | None = None,
    secret: str | None = None,
) -> Response:
    question = m.ListDeliveries(endpoint_id=endpoint.endpoint_id, limit=LISTED_MAX, cursor=cursor)
    values: dict[str, Any] = {"deliveries": await page.services.request(question)}
    return page.templates.render(
        request,
        "webhook.html",
        caller=caller,
        page_url=f"{PATH}/{endpoint.endpoint_id}",
        endpoint=endpoint,
        secret=secret,
        done=_done(done, request),
        **values,
    )


def _done(done: str, request: Request) -> str | None:
    translations = translations_for_request(request)
    return translations.translate(f"done.{done}") if translations.has_text(f"done.{done}") else None
