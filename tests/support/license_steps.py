"""Steps that several stories of a license share: subscribing, asking for the license, activating."""

from typing import Any

from tallystick.client import Client
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tests.support.shop import fresh_id
from tests.support.waiting import eventually


async def subscribes(
    billing: Client, customer: Customer, seats: int = 25, **fields: Any
) -> m.LicenseSnapshot:
    """Subscribe to the self-hosted plan; return the license once it is issued."""
    terms: dict[str, Any] = {"collection": "none"} | fields
    created = await billing.call(
        s.CreateSubscription(
            command_id=fresh_id("create"),
            customer=customer,
            items=[s.ItemToBuy(price="self_hosted_yearly", quantity=seats)],
            trial_days=0,
            **terms,
        )
    )
    return await license_when(billing, created.subscription.subscription_id)


async def license_when(billing: Client, subscription_id: str, **wanted: Any) -> m.LicenseSnapshot:
    """Wait until the license of a subscription has these values."""

    async def has_them() -> m.LicenseSnapshot | None:
        outcome = await billing.answer(m.GetLicense(subscription_id=subscription_id))
        if outcome.status != "succeeded":
            return None
        found = m.LicenseFound.model_validate(outcome.result, strict=False).license
        return found if all(getattr(found, name) == value for name, value in wanted.items()) else None

    settled: m.LicenseSnapshot = await eventually(has_them)
    return settled


async def key_of(billing: Client, license_id: str) -> str:
    """The key of a subscription's license, which is shown once."""
    shown = m.ShowLicenseKey(command_id=fresh_id("show"), license_id=license_id)
    return (await billing.call(shown)).license_key


def activation(key: str, instance_id: str) -> m.ActivateLicense:
    """A command by which a machine activates a license."""
    instance = m.Instance(instance_id=instance_id)
    return m.ActivateLicense(command_id=fresh_id("activate"), license_key=key, instance=instance)
