"""Creating, changing and deleting endpoints."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from services.notifications.domain.endpoint_url import url_problem
from services.notifications.endpoints.signing_secrets import WITHHELD, SigningSecrets, reveal_secret
from services.notifications.endpoints.snapshots import emit_endpoint, endpoint_snapshot
from services.notifications.service import service
from services.notifications.tables import DeliveryRow, EndpointRow
from shared.errors import Rejected
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import notifications as m

ENDPOINTS_PER_CUSTOMER_MAX = 20
ENDPOINTS_FOR_ALL_MAX = 200
"""Endpoints of the installation itself, which get every customer's events."""
ROTATION_OVERLAP = timedelta(hours=24)
"""How long the old secret signs, too, so that the receiver can change its own."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Where webhooks may go."""

    allow_private: bool = False
    """For laptops and tests: http, and addresses in private networks."""


@service.command(m.CreateEndpoint, reveal=reveal_secret)
async def create_endpoint(
    work: UnitOfWork, command: m.CreateEndpoint, policy: EndpointPolicy, signing_secrets: SigningSecrets
) -> m.EndpointWithSecret:
    """Create an endpoint; raises Rejected `endpoint_url_refused` and `too_many_endpoints`."""
    _check_url(command.url, policy)
    customer = command.customer.token if command.customer else None
    await _check_count(work, customer)
    endpoint_id = new_id("ep")
    row = EndpointRow(
        endpoint_id=endpoint_id,
        version=0,
        customer=customer,
        url=command.url,
        events=list(command.events),
        description=command.description,
        status="enabled",
        secret=signing_secrets.encrypt(signing_secrets.make(endpoint_id, command.command_id)),
        created_at=work.now,
    )
    work.session.add(row)
    return m.EndpointWithSecret(endpoint=emit_endpoint(work, row, "created"), secret=WITHHELD)


@service.command(m.UpdateEndpoint)
async def update_endpoint(
    work: UnitOfWork, command: m.UpdateEndpoint, policy: EndpointPolicy
) -> m.EndpointFound:
    """Change an endpoint; raises Rejected `not_found` and `endpoint_url_refused`."""
    row = await lock_endpoint(work, command.endpoint_id)
    if command.url is not None:
        _check_url(command.url, policy)
    before = endpoint_snapshot(row)
    row.url = command.url or row.url
    row.events = list(command.events) if command.events is not None else row.events
    row.description = command.description if command.description is not None else row.description
    if command.enabled is not None:
        row.status = "enabled" if command.enabled else "disabled"
        row.reason = None if command.enabled else "switched off"
        row.failing_since = None
    if endpoint_snapshot(row) == before:
        return m.EndpointFound(endpoint=before)
    is_switched_off = before.status == "enabled" and row.status == "disabled"
    if is_switched_off:
        await drop_pending(work, row.endpoint_id, "the endpoint is disabled")
    return m.EndpointFound(endpoint=emit_endpoint(work, row, "disabled" if is_switched_off else "updated"))


@service.command(m.DeleteEndpoint)
async def delete_endpoint(work: UnitOfWork, command: m.DeleteEndpoint) -> m.EndpointFound:
    """Delete an endpoint and forget its secrets; raises Rejected `not_found`."""
    row = await lock_endpoint(work, command.endpoint_id)
    row.status, row.reason = "deleted", None
    row.secret, row.previous_secret, row.previous_secret_until = b"", None, None
    await drop_pending(work, row.endpoint_id, "the endpoint is deleted")
    return m.EndpointFound(endpoint=emit_endpoint(work, row, "deleted"))


@service.command(m.RotateEndpointSecret, reveal=reveal_secret)
async def rotate_endpoint_secret(
    work: UnitOfWork, command: m.RotateEndpointSecret, signing_secrets: SigningSecrets
) -> m.EndpointWithSecret:
    """Give an endpoint a new secret; raises Rejected `not_found`."""
    row = await lock_endpoint(work, command.endpoint_id)
    row.previous_secret, row.previous_secret_until = row.secret, work.now + ROTATION_OVERLAP
    row.secret = signing_secrets.encrypt(signing_secrets.make(row.endpoint_id, command.command_id))
    return m.EndpointWithSecret(endpoint=emit_endpoint(work, row, "updated"), secret=WITHHELD)


async def lock_endpoint(work: UnitOfWork, endpoint_id: str) -> EndpointRow:
    """Lock an endpoint; raises Rejected `not_found`."""
    row = await work.session.get(EndpointRow, endpoint_id, with_for_update=True)
    if row is None or row.status == "deleted":
        raise Rejected("not_found", f"There is no endpoint {endpoint_id}.")
    return row


async def drop_pending(work: UnitOfWork, endpoint_id: str, reason: str) -> None:
    """Give up the deliveries that wait for an endpoint; they can be sent again later."""
    await work.session.execute(
        sa.update(DeliveryRow)
        .where(DeliveryRow.endpoint_id == endpoint_id, DeliveryRow.status == "pending")
        .values(status="failed", last_error=reason)
        .execution_options(synchronize_session=False)
    )


def _check_url(url: str, policy: EndpointPolicy) -> None:
    problem = url_problem(url, allow_private=policy.allow_private)
    if problem is not None:
        raise Rejected("endpoint_url_refused", f"The URL {problem}.")


async def _check_count(work: UnitOfWork, customer: str | None) -> None:
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"endpoints {customer}", 0))
    await work.session.execute(sa.select(lock))
    of_owner = EndpointRow.customer == customer if customer else EndpointRow.customer.is_(None)
    query = sa.select(sa.func.count()).where(of_owner, EndpointRow.status != "deleted")
    most = ENDPOINTS_PER_CUSTOMER_MAX if customer else ENDPOINTS_FOR_ALL_MAX
    if (await work.session.scalar(query) or 0) >= most:
        raise Rejected("too_many_endpoints", f"There are {most} endpoints already.", {"maximum": most})
