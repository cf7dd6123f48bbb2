"""`/api/v1/billing/notifications` and `…/webhook-endpoints`: mails and webhooks of a customer."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field

from services.gateway.auth.authentication import ManageCaller, ReadCaller, RequestCommandId
from services.gateway.auth.ownership import find_endpoint, require_billing_manager
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Body, Cursor, Limit, Moment
from tallystick.messages import notifications as m
from tallystick.messages.base import Email, EntityId, Text
from tallystick.messages.notifications.endpoints import EndpointUrl, EventId, Patterns

router = APIRouter(prefix="/api/v1/billing", tags=["notifications"])

EndpointId = Annotated[EntityId, Path(description="Id of the endpoint.")]
NOT_MANAGER = ["not_billing_manager"]


class PreferencesBody(Body, title="PreferencesChange"):
    """The preferences to change; what is absent stays as it is."""

    email: Email | None = None
    language: m.Language | None = None
    kinds: dict[m.Kind, bool] | None = None


class CreateEndpointBody(Body, title="NewEndpoint"):
    """The endpoint's URL and the events that it gets."""

    url: EndpointUrl
    events: Patterns
    description: Text | None = None


class UpdateEndpointBody(Body, title="EndpointChange"):
    """What to change; what is absent stays as it is."""

    url: EndpointUrl | None = None
    events: Patterns | None = None
    description: Text | None = None
    enabled: bool | None = None


class RedeliverBody(Body, title="Redelivery"):
    """The events to send again: by id, or those since a time."""

    event_ids: Annotated[list[EventId], Field(min_length=1, max_length=m.REDELIVER_MAX_EVENTS)] | None = None
    since: Moment | None = None


@router.get(
    "/notifications",
    response_model=m.NotificationPage,
    responses=problem_responses(m.ListNotifications, codes=NOT_MANAGER),
)
async def notifications(
    caller: ReadCaller,
    services: ServiceClientDep,
    kind: m.Kind | None = None,
    status: m.NotificationStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the notifications about the customer, newest first."""
    await require_billing_manager(services, caller)
    question = m.ListNotifications(
        customer=caller.customer, kind=kind, status=status, limit=limit, cursor=cursor
    )
    return await services.respond(question)


@router.get(
    "/notifications/preferences",
    response_model=m.PreferencesFound,
    responses=problem_responses(m.GetPreferences),
)
async def preferences(caller: ReadCaller, services: ServiceClientDep) -> Response:
    """Show which mails the calling person or organization gets, and where."""
    return await services.respond(m.GetPreferences(customer=caller.person))


@router.put(
    "/notifications/preferences",
    response_model=m.PreferencesFound,
    responses=problem_responses(m.SetPreferences),
)
async def set_preferences(
    caller: ReadCaller, services: ServiceClientDep, command_id: RequestCommandId, body: PreferencesBody
) -> Response:
    """Change which mails the calling person or organization gets, and where."""
    command = command_for(m.SetPreferences, caller, command_id, body, customer=caller.person)
    return await services.respond(command)


@router.get(
    "/webhook-endpoints",
    response_model=m.EndpointPage,
    responses=problem_responses(m.ListEndpoints, codes=NOT_MANAGER),
)
async def endpoints(
    caller: ManageCaller, services: ServiceClientDep, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the customer's webhook endpoints, newest first."""
    await require_billing_manager(services, caller)
    return await services.respond(m.ListEndpoints(customer=caller.customer, limit=limit, cursor=cursor))


@router.post(
    "/webhook-endpoints",
    response_model=m.EndpointWithSecret,
    responses=problem_responses(m.CreateEndpoint, codes=NOT_MANAGER),
)
async def create_endpoint(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, body: CreateEndpointBody
) -> Response:
    """Create a webhook endpoint; the response is the only one with its secret."""
    await require_billing_manager(services, caller)
    command = command_for(m.CreateEndpoint, caller, command_id, body, customer=caller.customer)
    return await services.respond(command)


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    response_model=m.EndpointFound,
    responses=problem_responses(m.UpdateEndpoint, codes=NOT_MANAGER),
)
async def update_endpoint(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    endpoint_id: EndpointId,
    body: UpdateEndpointBody,
) -> Response:
    """Change a webhook endpoint; `enabled: true` ends a suspension."""
    await find_endpoint(services, caller, endpoint_id)
    command = command_for(m.UpdateEndpoint, caller, command_id, body, endpoint_id=endpoint_id)
    return await services.respond(command)


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    response_model=m.EndpointFound,
    responses=problem_responses(m.DeleteEndpoint, codes=NOT_MANAGER),
)
async def delete_endpoint(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, endpoint_id: EndpointId
) -> Response:
    """Delete a webhook endpoint; nothing more is sent to it."""
    await find_endpoint(services, caller, endpoint_id)
    return await services.respond(command_for(m.DeleteEndpoint, caller, command_id, endpoint_id=endpoint_id))


@router.post(
    "/webhook-endpoints/{endpoint_id}/rotate-secret",
    response_model=m.EndpointWithSecret,
    responses=problem_responses(m.RotateEndpointSecret, codes=NOT_MANAGER),
)
async def rotate_secret(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, endpoint_id: EndpointId
) -> Response:
    """Give an endpoint a new secret; the old one signs, too, for 24 hours."""
    await find_endpoint(services, caller, endpoint_id)
    command = command_for(m.RotateEndpointSecret, caller, command_id, endpoint_id=endpoint_id)
    return await services.respond(command)


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    response_model=m.TestSent,
    responses=problem_responses(m.SendTest, codes=NOT_MANAGER),
)
async def test_endpoint(
    caller: ManageCaller, services: ServiceClientDep, command_id: RequestCommandId, endpoint_id: EndpointId
) -> Response:
    """Send a test event to an endpoint."""
    await find_endpoint(services, caller, endpoint_id)
    command = m.SendTest(command_id=command_id, requested_by=caller.person.token, endpoint_id=endpoint_id)
    return await services.respond(command)


@router.post(
    "/webhook-endpoints/{endpoint_id}/redeliver",
    response_model=m.Deliveries,
    responses=problem_responses(m.Redeliver, codes=NOT_MANAGER),
)
async def redeliver(
    caller: ManageCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    endpoint_id: EndpointId,
    body: RedeliverBody,
) -> Response:
    """Send events to an endpoint again."""
    await find_endpoint(services, caller, endpoint_id)
    return await services.respond(command_for(m.Redeliver, caller, command_id, body, endpoint_id=endpoint_id))


@router.get(
    "/webhook-endpoints/{endpoint_id}/deliveries",
    response_model=m.DeliveryPage,
    responses=problem_responses(m.ListDeliveries, codes=NOT_MANAGER),
)
async def deliveries(
    caller: ManageCaller,
    services: ServiceClientDep,
    endpoint_id: EndpointId,
    status: m.DeliveryStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the deliveries to an endpoint, newest first; they are kept for 30 days."""
    await find_endpoint(services, caller, endpoint_id)
    question = m.ListDeliveries(endpoint_id=endpoint_id, status=status, limit=limit, cursor=cursor)
    return await services.respond(question)
