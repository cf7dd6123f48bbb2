"""`/api/v1/licenses`: for machines of customers, which authenticate with the license key in the body.

Keys that are unknown, mistyped or revoked get the same response, after the same search.
"""

import base64
import hashlib
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field

from services.gateway.auth.ownership import visible_license
from services.gateway.dependencies import GatewayState, ServiceClientDep, StateDep
from services.gateway.openapi.responses import problem_responses
from services.gateway.problem_details import ProblemError
from services.gateway.schemas import Body
from services.gateway.service_client import json_response
from shared.ids import new_id
from tallystick.licensing import key_set_key
from tallystick.messages import licenses as m
from tallystick.messages.base import Request as Message

router = APIRouter(prefix="/api/v1/licenses", tags=["licenses: machines"])
key_set_router = APIRouter(tags=["licenses: machines"])

Result = TypeVar("Result", bound=BaseModel)

KEY_SET_PATH = "/.well-known/tallystick-licenses.json"
KEY_SET_CACHE = "public, max-age=300"
"""A new key is in the set long before it signs."""
INVALID_CODES = ("license_key_invalid", "license_revoked")
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="A repeated request with the same key has the same outcome and no second effect.",
        pattern=r"^[\x21-\x7e]{1,128}$",
    ),
]


class ActivateBody(Body, title="LicenseActivation"):
    """The license key, and the machine."""

    license_key: m.LicenseKey
    instance: m.Instance


class InstanceBody(Body, title="LicenseInstance"):
    """The license key, and the machine's id."""

    license_key: m.LicenseKey
    instance_id: m.InstanceId


class RefreshBody(InstanceBody, title="LicenseRefresh"):
    """The license key, the machine's id, and the seats in use there."""

    members: m.Members | None = Field(default=None, description="Absent: as reported before.")


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


def _responses(*messages: type[Message[Any]]) -> dict[int | str, dict[str, Any]]:
    return problem_responses(*messages, codes=["payload_too_large"], signed_in=False)


@router.post("/activate", response_model=m.LicenseActivated, responses=_responses(m.ActivateLicense))
async def activate(
    request: Request, state: StateDep, body: ActivateBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Activate a license on a machine; the same machine again gets a fresh file."""
    command = m.ActivateLicense(
        command_id=_command_id(body.license_key, idempotency_key),
        license_key=body.license_key,
        instance=body.instance,
    )
    result = await _ask(request, state, body.license_key, command)
    return json_response(_shown(result))


@router.post("/deactivate", response_model=m.LicenseFound, responses=_responses(m.DeactivateLicense))
async def deactivate(
    request: Request, state: StateDep, body: InstanceBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Free the machine's place."""
    command = m.DeactivateLicense(
        command_id=_command_id(body.license_key, idempotency_key),
        license_key=body.license_key,
        instance_id=body.instance_id,
    )
    result = await _ask(request, state, body.license_key, command)
    if result.license.status == "revoked":
        raise _wrong_key(request, state)
    return json_response(_shown(result))


@router.post("/refresh", response_model=m.LicenseRefreshed, responses=_responses(m.RefreshLicense))
async def refresh(
    request: Request, state: StateDep, body: RefreshBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Get a fresh license file, and report the seats in use."""
    command = m.RefreshLicense(
        command_id=_command_id(body.license_key, idempotency_key),
        license_key=body.license_key,
        instance_id=body.instance_id,
        members=body.members,
    )
    result = await _ask(request, state, body.license_key, command)
    return json_response(_shown(result))


@router.post("/validate", response_model=m.LicenseValidity, responses=_responses(m.ValidateLicense))
async def validate(request: Request, state: StateDep, body: InstanceBody) -> Response:
    """Check a license online, without a new file."""
    question = m.ValidateLicense(license_key=body.license_key, instance_id=body.instance_id)
    result = await _ask(request, state, body.license_key, question)
    if result.status == "revoked":
        raise _wrong_key(request, state)
    return json_response(result.model_dump(mode="json"))


@key_set_router.get(KEY_SET_PATH, response_model=KeySet, responses=problem_responses(signed_in=False))
async def key_set(services: ServiceClientDep) -> Response:
    """Get the public keys that license files are verified with, as a JSON Web Key Set."""
    found = await services.request(m.ListSigningKeys())
    keys = [key_set_key(key.x, expires_at=key.expires_at) for key in found.keys]
    response = json_response({"keys": keys})
    response.headers["Cache-Control"] = KEY_SET_CACHE
    return response


async def _ask(request: Request, state: GatewayState, license_key: str, message: Message[Result]) -> Result:
    """Send a message with a license key and return its result. Raises ProblemError."""
    state.rate_limits.count_license_key(request.scope, _digest(license_key))
    try:
        return await state.services.request(message)
    except ProblemError as error:
        if error.code in INVALID_CODES:
            raise _wrong_key(request, state) from None
        raise


def _wrong_key(request: Request, state: GatewayState) -> ProblemError:
    state.rate_limits.count_wrong_license_key(request.scope)
    return ProblemError("license_key_invalid", "There is no license with this key.")


def _shown(result: m.LicenseActivated | m.LicenseFound | m.LicenseRefreshed) -> dict[str, Any]:
    shown = result.model_copy(update={"license": visible_license(result.license)})
    return shown.model_dump(mode="json")


def _command_id(license_key: str, idempotency_key: str | None) -> str:
    """Return the id of a command: made from the `Idempotency-Key` and the license key, else a new one."""
    if idempotency_key is None:
        return new_id("http")
    return "http_" + _digest(f"{license_key}\n{idempotency_key}")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
