"""Rejections that several use cases raise."""

from services.licenses.tables import LicenseRow
from shared.errors import Rejected


def license_not_found(license_id: str) -> Rejected:
    """Build the rejection of an unknown license id."""
    return Rejected("not_found", f"There is no license {license_id}.", {"license_id": license_id})


def license_key_invalid(reason: str) -> Rejected:
    """Build the rejection of a license key; `reason` is `mistyped` or `unknown`."""
    return Rejected("license_key_invalid", "There is no license with this key.", {"reason": reason})


def require_running(row: LicenseRow) -> None:
    """Raise Rejected `license_ended` if the license has expired or is revoked."""
    if row.ended_at is not None:
        raise Rejected(
            "license_ended",
            f"The license is {row.status}.",
            {"license_id": row.license_id, "status": row.status},
        )


def seats_in_use(members: int, seats: int) -> Rejected:
    """Build the rejection of fewer seats than the machines report to be in use."""
    return Rejected(
        "seats_in_use",
        f"{members} seats are in use on machines. Free some first.",
        {"occupied": members, "members_reported": members, "quantity": seats},
    )
