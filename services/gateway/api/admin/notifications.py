"""`/api/v1/admin/notifications`: lists all notifications and sends them again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from services.gateway.auth.authentication import AdminCaller, RequestCommandId
from services.gateway.commands import command_for
from services.gateway.dependencies import ServiceClientDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.schemas import Cursor, Limit
from tallystick.messages import notifications as m
from tallystick.messages.base import EntityId, Instant

router = APIRouter(prefix="/api/v1/admin/notifications", tags=["admin: notifications"])


@router.get("", response_model=m.NotificationPage, responses=problem_responses(m.ListNotifications))
async def notifications(
    _: AdminCaller,
    services: ServiceClientDep,
    kind: m.Kind | None = None,
    status: m.NotificationStatus | None = None,
    since: Annotated[Instant | None, Query(description="Created at or after this moment.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List notifications, newest first."""
    question = m.ListNotifications(kind=kind, status=status, since=since, limit=limit, cursor=cursor)
    return await services.respond(question)


@router.get("/preview", response_model=m.MailPreview, responses=problem_responses(m.Preview))
async def preview(
    _: AdminCaller, services: ServiceClientDep, kind: m.Kind, language: m.Language = "en"
) -> Response:
    """Render the mail of a kind with sample data."""
    return await services.respond(m.Preview(kind=kind, language=language))


@router.post(
    "/{notification_id}/resend",
    response_model=m.NotificationFound,
    responses=problem_responses(m.ResendNotification),
)
async def resend(
    caller: AdminCaller,
    services: ServiceClientDep,
    command_id: RequestCommandId,
    notification_id: Annotated[EntityId, Path(description="Id of the notification.")],
) -> Response:
    """Send a notification again, to the recipient's present address."""
    command = command_for(m.ResendNotification, caller, command_id, notification_id=notification_id)
    return await services.respond(command)
