"""Commands of machines: activate, deactivate, refresh.

A machine presents the license key. A service that has authenticated the customer otherwise, as the billing
page has, may give the license id instead.
"""

from typing import Any

from pydantic import Field, model_validator

from tallystick.messages.base import Command, EntityId, Strict, TolerantModel
from tallystick.messages.licenses.snapshots import ActivationSnapshot, LicenseFound, LicenseSnapshot
from tallystick.messages.licenses.types import SERVICE, InstanceId, InstanceName, LicenseKey, Members


class Instance(Strict):
    """Machine or installation."""

    instance_id: InstanceId
    name: InstanceName | None = None
    version: InstanceName | None = Field(
        default=None, description="Version of the licensed product that runs there."
    )


class LicenseActivated(TolerantModel):
    """Result of `activate_license`."""

    license: LicenseSnapshot
    activation: ActivationSnapshot
    license_file: str = Field(description="Signed license file for this machine.")


class LicenseRefreshed(TolerantModel):
    """Result of `refresh_license`."""

    license: LicenseSnapshot
    license_file: str = Field(description="Signed license file for this machine.")


def _require_one(message: Any) -> Any:
    if (message.license_key is None) == (message.license_id is None):
        raise ValueError("give either license_key or license_id")
    return message


class ActivateLicense(
    Command[LicenseActivated],
    service=SERVICE,
    rejections=(
        "license_key_invalid",
        "license_in_use",
        "license_expired",
        "license_suspended",
        "license_revoked",
    ),
):
    """Activate a license on a machine, all or nothing; the same machine again gets a fresh file."""

    secrets = frozenset({"license_key"})

    license_key: LicenseKey | None = None
    license_id: EntityId | None = Field(default=None, description="In place of the key.")
    instance: Instance

    _one = model_validator(mode="after")(_require_one)


class DeactivateLicense(Command[LicenseFound], service=SERVICE, rejections=("license_key_invalid",)):
    """Free a machine's place; again: the same result."""

    secrets = frozenset({"license_key"})

    license_key: LicenseKey | None = None
    license_id: EntityId | None = Field(default=None, description="In place of the key.")
    instance_id: InstanceId

    _one = model_validator(mode="after")(_require_one)


class RefreshLicense(
    Command[LicenseRefreshed],
    service=SERVICE,
    rejections=(
        "license_key_invalid",
        "not_activated",
        "license_expired",
        "license_suspended",
        "license_revoked",
    ),
):
    """Issue a fresh file for an activated machine, and report how many seats are in use there."""

    secrets = frozenset({"license_key"})

    license_key: LicenseKey | None = None
    license_id: EntityId | None = Field(default=None, description="In place of the key.")
    instance_id: InstanceId
    members: Members | None = Field(
        default=None, description="Seats in use there; absent: as reported before."
    )

    _one = model_validator(mode="after")(_require_one)
