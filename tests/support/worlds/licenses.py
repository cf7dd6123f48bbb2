"""The licenses service on a database, with the events of its products and subscriptions so far."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.licenses.app import service
from services.licenses.issuing.license_keys import LicenseKeys
from services.licenses.signing.signing_keys import SigningKeys
from shared.messaging.service_client import ServiceClient
from shared.settings import CommonSettings
from tallystick import licensing
from tallystick.messages import licenses as m
from tallystick.messages import subscriptions as s
from tallystick.messages.base import Customer
from tallystick.messages.catalog import LicenseRule, Product, ProductEvent, ProductFeature, SeatRule
from tests.support.runtime import NOON, Bound
from tests.support.worlds.handling import FollowingSubscriptions

ACME = Customer(type="organization", id="acme")
SUBSCRIPTION = "sub_acme"
KEY_SECRET = "the-secret-from-which-license-keys-are-made"
FIRST_SIGNING_KEY, SECOND_SIGNING_KEY = "11" * 32, "22" * 32
PERIOD_START = datetime(2026, 1, 1, tzinfo=UTC)
PERIOD_END = datetime(2026, 2, 1, tzinfo=UTC)
RULE = LicenseRule(instances=1, grace_days=14, offline_days=30)
FEATURES = {"audit_log": None, "projects": 100}


def provided(signing_keys: str = FIRST_SIGNING_KEY) -> list[Any]:
    """What the worker injects into handlers, without subscriptions to ask."""
    settings = CommonSettings(nats_url="nats://127.0.0.1:1")
    keys = [LicenseKeys.of(KEY_SECRET), SigningKeys.of(signing_keys)]
    return [*keys, ServiceClient(settings, service.name)]


def server_product(version: int = 1, rule: LicenseRule | None = RULE) -> Product:
    """A product that runs at the customer's."""
    given = [
        ProductFeature(feature="audit_log", quantity=None, every=None, team_allowed=True),
        ProductFeature(feature="projects", quantity=100, every=None, team_allowed=True),
    ]
    return Product(
        product_id="product_server",
        version=version,
        code="server",
        name="Server",
        description=None,
        kind="plan",
        seats=SeatRule(strategy="per_seat", owner_seat="none"),
        features=given,
        required_details=[],
        archived=False,
        stripe_product_id=None,
        license=rule,
    )


def server_item(quantity: int = 25, rule: LicenseRule | None = RULE, **fields: Any) -> s.SubscriptionItem:
    """The item of a subscription to that product."""
    product = server_product(rule=rule)
    kinds: dict[str, Any] = {"audit_log": "flag", "projects": "limit"}
    item = s.SubscriptionItem(
        product=product.code,
        price="server_yearly",
        quantity=quantity,
        seats=product.seats,
        features=[
            s.ItemFeature(**given.model_dump(), kind=kinds[given.feature]) for given in product.features
        ],
        license=rule,
    )
    return item.model_copy(update=fields)


@dataclass(slots=True)
class LicenseWorld(FollowingSubscriptions):
    """The service on a database, and the events of other services so far."""

    bound: Bound
    now: datetime = NOON
    told: dict[str, s.SubscriptionSnapshot] = field(default_factory=dict)
    _commands: int = 0

    async def hears_product(self, product: Product | None = None) -> None:
        """Deliver an event of the catalog."""
        product = product or server_product()
        self.bound.now = self.now
        event = ProductEvent(
            event_id=f"evt_{product.code}_{product.version}",
            occurred_at=self.now,
            version=product.version,
            caused_by="catalog",
            customer=None,
            product=product,
        )
        await self.bound.hears(event, "updated")

    async def subscribed(
        self, quantity: int = 25, *, subscription: str = SUBSCRIPTION, **fields: Any
    ) -> dict[str, Any]:
        """The license of a subscription that has just begun."""
        told = s.SubscriptionSnapshot(
            subscription_id=subscription,
            version=1,
            customer=ACME,
            status="active",
            collection="automatic",
            items=[server_item(quantity)],
            current_period_start=PERIOD_START,
            current_period_end=PERIOD_END,
            trial_end=None,
            cancel_at_period_end=False,
            canceled_at=None,
            ended_at=None,
            grace_until=None,
            scheduled_change=None,
            stripe_subscription_id="sub_1P",
            created_at=PERIOD_START,
        )
        await self.hears(told.model_copy(update=fields), "created")
        return await self.license()

    async def tells(self, event: str = "changed", *, subscription: str = SUBSCRIPTION, **fields: Any) -> None:
        """Change the subscription and deliver its next event."""
        before = self.told[subscription]
        await self.hears(before.model_copy(update={"version": before.version + 1, **fields}), event)

    async def license(self, **wanted: Any) -> dict[str, Any]:
        """Return a license, by default that of the first subscription."""
        question = m.GetLicense(**(wanted or {"subscription_id": SUBSCRIPTION}))
        found: dict[str, Any] = (await self.asks(question))["license"]
        return found

    async def issued(self, **fields: Any) -> tuple[dict[str, Any], str]:
        """A license by hand, and its key."""
        result = await self.does(self.issue(**fields))
        return result["license"], result["license_key"]

    def issue(self, **fields: Any) -> m.IssueLicense:
        """A command that issues a license by hand."""
        given: dict[str, Any] = {"command_id": self.command_id(), "customer": ACME, "product": "server"}
        return m.IssueLicense(**(given | fields))

    def activate(self, key: str, instance_id: str = "host-1", **instance: Any) -> m.ActivateLicense:
        """A command by which a machine activates a license."""
        there = m.Instance(instance_id=instance_id, **instance)
        return m.ActivateLicense(command_id=self.command_id(), license_key=key, instance=there)

    def deactivate(self, key: str, instance_id: str = "host-1") -> m.DeactivateLicense:
        """A command by which a machine gives its place back."""
        return m.DeactivateLicense(command_id=self.command_id(), license_key=key, instance_id=instance_id)

    def refresh(self, key: str, instance_id: str = "host-1", **fields: Any) -> m.RefreshLicense:
        """A command by which a machine gets a fresh file."""
        return m.RefreshLicense(
            command_id=self.command_id(), license_key=key, instance_id=instance_id, **fields
        )

    async def key_set(self) -> dict[str, Any]:
        """The key set that products are shipped with."""
        answer = m.SigningKeys.model_validate(await self.asks(m.ListSigningKeys()), strict=False)
        return {"keys": [licensing.key_set_key(key.x, expires_at=key.expires_at) for key in answer.keys]}

    async def checks(self, file: str, instance_id: str = "host-1", **options: Any) -> licensing.LicenseState:
        """Check a file as the product does."""
        return licensing.check(file, await self.key_set(), instance_id, self.now, **options)

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of licenses on the feed so far: name and snapshot."""
        return [(subject.split(".")[-1], body["license"]) for subject, body in await self.bound.feed()]

    async def names(self) -> list[str]:
        """The names of the events so far."""
        return [name for name, _ in await self.events()]

    async def everything_stored(self) -> str:
        """All rows of all tables of the service, as text."""
        tables = await self.bound.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'licenses'")
        kept = []
        for table in tables:
            rows = await self.bound.rows(f"SELECT t::text AS row FROM licenses.{table['tablename']} AS t")
            kept += [row["row"] for row in rows]
        payloads = await self.bound.outbox()
        return json.dumps(kept) + "".join(row["payload"].decode() for row in payloads)
