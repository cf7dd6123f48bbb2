"""Notifications about licenses. The key is never sent by mail."""

from services.notifications.domain.drafts import Draft
from tallystick.messages.licenses import LicenseEvent


def license_drafts(name: str, event: LicenseEvent) -> list[Draft]:
    """Return the notifications of a license's event."""
    license_ = event.license
    token = license_.customer.token
    facts = {
        "subscription_id": license_.subscription_id,
        "product": license_.product,
        "seats": license_.seats,
        "key_hint": f"…{license_.key_hint}",
        "expires": license_.expires_at.isoformat() if license_.expires_at else None,
    }
    if name == "issued":
        return [Draft("license_issued", license_.license_id, token, token, facts)]
    if name == "expiring":
        return [Draft("license_expiring", event.event_id, token, token, facts)]
    return []
