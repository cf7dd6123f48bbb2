"""Everything the billing page shows, asked for at once; what cannot be had is left out, and said so."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from services.gateway.auth.ownership import team_of
from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.catalog_listing import on_sale
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import Billing
from tallystick.messages import consumables, seats, subscriptions
from tallystick.messages.base import Request
from tallystick.messages.catalog import Catalog, Feature, GetCatalog, Price, ProductWithPrices

Result = TypeVar("Result", bound=BaseModel)
Answer = TypeVar("Answer")

SERVICE_UNAVAILABLE = 503
PART_SECONDS = 2.0
"""A page that lacks a part is better than one that does not come."""
SEATS_SHOWN = 50
INVOICES_SHOWN = 12
"""A year of monthly ones; older ones are on the next page."""
LISTED_MAX = 200
"""As many as one question lists."""
METERS_SHOWN = 40
"""Limits and units of one customer; a catalog has a dozen."""


@dataclass(frozen=True, slots=True)
class CatalogListing:
    """The catalog, by code."""

    catalog: Catalog

    @property
    def plans(self) -> list[ProductWithPrices]:
        """Plans that customers are shown."""
        return on_sale(self.catalog, "plan")

    @property
    def add_ons(self) -> list[ProductWithPrices]:
        """Add-ons that customers are shown."""
        return on_sale(self.catalog, "add_on")

    def feature(self, code: str) -> Feature | None:
        """A feature, archived or not."""
        return next((feature for feature in self.catalog.features if feature.code == code), None)

    def feature_name(self, code: str) -> str:
        """What a feature is called."""
        feature = self.feature(code)
        return feature.name if feature else code

    def product(self, code: str | None) -> ProductWithPrices | None:
        """A product, archived or not."""
        return next((product for product in self.catalog.products if product.code == code), None)

    def price(self, code: str | None) -> Price | None:
        """A price, archived or not."""
        prices = (price for product in self.catalog.products for price in product.prices)
        return next((price for price in prices if price.code == code), None)


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """What one account has of a feature, and the grants that are not used up."""

    snapshot: consumables.BalanceSnapshot
    grants: list[consumables.GrantSnapshot]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What there is to show; a part is None where its service is away or where there is none of it."""

    caller: Caller
    away: frozenset[str]
    """The parts whose service does not answer."""
    shelf: CatalogListing
    customer: subscriptions.CustomerSnapshot | None
    subscription: subscriptions.SubscriptionSnapshot | None
    team: seats.TeamSnapshot | None
    seats: seats.SeatPage | None
    balances: list[AccountBalance]
    add_ons: list[subscriptions.AddOnSnapshot]
    invoices: subscriptions.InvoicePage | None
    coming: subscriptions.ComingInvoice | None
    recharges: dict[tuple[str, str], consumables.AutoRechargeSnapshot]
    """How more is bought by itself, by account and feature."""

    @property
    def may_change(self) -> bool:
        """Whether this caller may change what the page shows."""
        if not self.caller.may(MANAGE):
            return False
        return self.manages_team or (self.caller.is_the_customer and not self.is_a_guest)

    @property
    def pays_through_stripe(self) -> bool:
        """Whether Stripe knows the customer, and so keeps payment methods for them."""
        return self.customer is not None and self.customer.stripe_customer_id is not None

    @property
    def manages_team(self) -> bool:
        """Whether the caller is the team's billing manager, or there is no team to be the manager of."""
        if self.team is None and "team" in self.away:
            return self.caller.is_the_customer
        if self.team is None or self.team.status != "open":
            return not self.is_a_guest
        return self.team.billing_manager == self.caller.person

    @property
    def is_a_guest(self) -> bool:
        """Whether the team is somebody else's, in which the caller has a seat."""
        return self.team is not None and self.team.customer != self.caller.customer


async def unless_away(answer: Awaitable[Answer]) -> Answer | None:
    """What is asked for; None while its service does not answer. Raises ProblemError for any other reason."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            return await answer
    except TimeoutError:
        return None
    except ProblemError as refused:
        if refused.status != SERVICE_UNAVAILABLE:
            raise
        return None


class _Asking:
    """Asks for parts of the page and remembers which are away."""

    def __init__(self, billing: Billing, caller: Caller) -> None:
        self.away: set[str] = set()
        self._billing = billing
        self._caller = caller

    async def part(self, name: str, question: Request[Result]) -> Result | None:
        return await self._found(name, self._billing.ask(question))

    async def _found(self, name: str, answer: Awaitable[Answer]) -> Answer | None:
        try:
            found = await unless_away(answer)
        except ProblemError:
            return None
        if found is None:
            self.away.add(name)
        return found

    async def team(self, cursor: str | None) -> tuple[seats.TeamSnapshot | None, seats.SeatPage | None]:
        team = await self._found("team", team_of(self._billing, self._caller))
        if team is None:
            return None, None
        listing = seats.ListSeats(team_id=team.team_id, limit=SEATS_SHOWN, cursor=cursor)
        return team, await self.part("team", listing)

    async def balances(self) -> list[AccountBalance]:
        """What the customer and the person behind the request may draw on, each balance once."""
        who = {self._caller.customer, self._caller.person}
        pages = await asyncio.gather(
            *(self.part("usage", consumables.ListBalances(consumer=one, limit=LISTED_MAX)) for one in who)
        )
        found = {balance.consumable_id: balance for page in pages if page for balance in page.items}
        shown = sorted(found.values(), key=lambda balance: (balance.feature, balance.account))[:METERS_SHOWN]
        details = await asyncio.gather(
            *(
                self.part("usage", consumables.GetBalance(account=one.account, feature=one.feature))
                for one in shown
            )
        )
        return [
            AccountBalance(snapshot, detail.grants if detail else [])
            for snapshot, detail in zip(shown, details, strict=True)
        ]

    async def recharges(
        self, shelf: CatalogListing, accounts: list[AccountBalance]
    ) -> list[consumables.AutoRecharge]:
        priced = {feature.code for feature in shelf.catalog.features if feature.unit_price is not None}
        wanted = [one.snapshot for one in accounts if one.snapshot.feature in priced]
        rules = await asyncio.gather(
            *(
                self.part("recharges", consumables.GetAutoRecharge(account=one.account, feature=one.feature))
                for one in wanted
            )
        )
        return [rule for rule in rules if rule is not None]


async def gather(billing: Billing, caller: Caller, cursors: Mapping[str, str]) -> Gathered:
    """Ask everybody. Raises ProblemError when not even the catalog can be had."""
    client, customer = _Asking(billing, caller), caller.customer
    shelf = CatalogListing((await billing.ask(GetCatalog(include_archived=True))).catalog)
    (found, subscription), (team, listed), balances, add_ons, invoices, coming = await asyncio.gather(
        asyncio.gather(
            client.part("customer", subscriptions.GetCustomer(customer=customer)),
            client.part("plan", subscriptions.GetSubscription(customer=customer)),
        ),
        client.team(cursors.get("seats")),
        client.balances(),
        client.part("add_ons", subscriptions.ListAddOns(customer=customer, limit=LISTED_MAX)),
        client.part(
            "invoices",
            subscriptions.ListInvoices(
                customer=customer, limit=INVOICES_SHOWN, cursor=cursors.get("invoices")
            ),
        ),
        client.part("coming", subscriptions.UpcomingInvoice(customer=customer)),
    )
    rules = [rule.auto_recharge for rule in await client.recharges(shelf, balances)]
    return Gathered(
        caller=caller,
        away=frozenset(client.away),
        shelf=shelf,
        customer=found.customer if found else None,
        subscription=subscription.subscription if subscription else None,
        team=team,
        seats=listed,
        balances=balances,
        add_ons=add_ons.items if add_ons else [],
        invoices=invoices,
        coming=coming.invoice if coming else None,
        recharges={(rule.account, rule.feature): rule for rule in rules},
    )
