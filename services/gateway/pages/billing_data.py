"""Loads the data of the billing page concurrently; parts of unavailable services are left out."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel

from services.gateway.auth.ownership import find_team
from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.catalog_listing import listed_products
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.messages import consumables, seats, subscriptions
from tallystick.messages.base import Request
from tallystick.messages.catalog import Catalog, Feature, GetCatalog, Price, ProductWithPrices
from tallystick.messages.licenses import LicenseSnapshot, ListLicenses

Result = TypeVar("Result", bound=BaseModel)
Answer = TypeVar("Answer")

SERVICE_UNAVAILABLE = 503
PART_TIMEOUT_SECONDS = 2.0
"""How long a page waits for one of its parts before it is rendered without it."""
SEATS_SHOWN = 50
INVOICES_SHOWN = 12
"""A year of monthly invoices; older ones are on the next page."""
LICENSES_SHOWN = 20
LISTED_MAX = 200
"""The most items one question lists."""
METERS_SHOWN = 40
"""Limits and units of one customer; a catalog has about a dozen."""


@dataclass(frozen=True, slots=True)
class CatalogIndex:
    """Looks up features, products and prices of the catalog by code."""

    catalog: Catalog

    @property
    def plans(self) -> list[ProductWithPrices]:
        """The plans for sale."""
        return listed_products(self.catalog, "plan")

    @property
    def add_ons(self) -> list[ProductWithPrices]:
        """The add-ons for sale."""
        return listed_products(self.catalog, "add_on")

    def features_sold_by_unit(self) -> set[str]:
        """Return the codes of the features that have a price per unit."""
        return {feature.code for feature in self.catalog.features if feature.unit_price is not None}

    def feature(self, code: str) -> Feature | None:
        """Return a feature, archived or not."""
        return next((feature for feature in self.catalog.features if feature.code == code), None)

    def feature_name(self, code: str) -> str:
        """Return a feature's name, or its code if the feature is unknown."""
        feature = self.feature(code)
        return feature.name if feature else code

    def product(self, code: str | None) -> ProductWithPrices | None:
        """Return a product, archived or not."""
        return next((product for product in self.catalog.products if product.code == code), None)

    def price(self, code: str | None) -> Price | None:
        """Return a price, archived or not."""
        prices = (price for product in self.catalog.products for price in product.prices)
        return next((price for price in prices if price.code == code), None)


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """An account's balance of a feature, and its grants that are not used up."""

    snapshot: consumables.BalanceSnapshot
    grants: list[consumables.GrantSnapshot]
    total: int | None
    """The units of all grants that count now, used up or not; None: unlimited or not known."""
    overage: consumables.OverageOwed | None = None
    """Units beyond the included ones that are on no invoice yet."""


@dataclass(frozen=True, slots=True)
class BillingPageData:
    """The data of the billing page; a part is None if its service is unavailable or the customer has none."""

    caller: Caller
    unavailable: frozenset[str]
    """The parts whose service does not answer."""
    catalog: CatalogIndex
    customer: subscriptions.CustomerSnapshot | None
    subscription: subscriptions.SubscriptionSnapshot | None
    team: seats.TeamSnapshot | None
    seats: seats.SeatPage | None
    balances: list[AccountBalance]
    add_ons: list[subscriptions.AddOnSnapshot]
    invoices: subscriptions.InvoicePage | None
    upcoming_invoice: subscriptions.ComingInvoice | None
    recharges: dict[tuple[str, str], consumables.AutoRechargeSnapshot]
    """The auto-recharge rules, by account and feature."""
    licenses: list[LicenseSnapshot] = field(default_factory=list)

    @property
    def may_change(self) -> bool:
        """Whether the caller may change the customer's billing."""
        if not self.caller.may(MANAGE):
            return False
        return self.manages_team or (self.caller.is_the_customer and not self.is_a_guest)

    @property
    def pays_through_stripe(self) -> bool:
        """Whether the customer exists in Stripe, which stores their payment methods."""
        return self.customer is not None and self.customer.stripe_customer_id is not None

    @property
    def manages_team(self) -> bool:
        """Whether the caller is the team's billing manager, or the customer has no open team."""
        if self.team is None and "team" in self.unavailable:
            return self.caller.is_the_customer
        if self.team is None or self.team.status != "open":
            return not self.is_a_guest
        return self.team.billing_manager == self.caller.person

    @property
    def is_a_guest(self) -> bool:
        """Whether the caller has a seat in a team that another customer pays for."""
        return self.team is not None and self.team.customer != self.caller.customer


async def none_if_unavailable(answer: Awaitable[Answer]) -> Answer | None:
    """Await an answer; return None if its service is unavailable. Raises ProblemError for other errors."""
    try:
        async with asyncio.timeout(PART_TIMEOUT_SECONDS):
            return await answer
    except TimeoutError:
        return None
    except ProblemError as error:
        if error.status != SERVICE_UNAVAILABLE:
            raise
        return None


class _PartLoader:
    """Loads parts of the page and collects the names of those that are unavailable."""

    def __init__(self, services: ServiceClient, caller: Caller) -> None:
        self.unavailable: set[str] = set()
        self._services = services
        self._caller = caller

    async def part(self, name: str, question: Request[Result]) -> Result | None:
        return await self._load(name, self._services.request(question))

    async def _load(self, name: str, answer: Awaitable[Answer]) -> Answer | None:
        try:
            found = await none_if_unavailable(answer)
        except ProblemError:
            return None
        if found is None:
            self.unavailable.add(name)
        return found

    async def team(self, cursor: str | None) -> tuple[seats.TeamSnapshot | None, seats.SeatPage | None]:
        team = await self._load("team", find_team(self._services, self._caller))
        if team is None:
            return None, None
        listing = seats.ListSeats(team_id=team.team_id, limit=SEATS_SHOWN, cursor=cursor)
        return team, await self.part("team", listing)

    async def balances(self) -> list[AccountBalance]:
        """Load the balances that the customer and the acting person may use, each once."""
        consumers = {self._caller.customer, self._caller.person}
        pages = await asyncio.gather(
            *(
                self.part("usage", consumables.ListBalances(consumer=consumer, limit=LISTED_MAX))
                for consumer in consumers
            )
        )
        found = {balance.consumable_id: balance for page in pages if page for balance in page.items}
        snapshots = sorted(found.values(), key=lambda balance: (balance.feature, balance.account))[
            :METERS_SHOWN
        ]
        details = await asyncio.gather(
            *(
                self.part("usage", consumables.GetBalance(account=one.account, feature=one.feature))
                for one in snapshots
            )
        )
        return [
            AccountBalance(snapshot, detail.grants, detail.total, detail.overage)
            if detail
            else AccountBalance(snapshot, [], None)
            for snapshot, detail in zip(snapshots, details, strict=True)
        ]

    async def recharges(
        self, catalog: CatalogIndex, accounts: list[AccountBalance]
    ) -> list[consumables.AutoRecharge]:
        sold_by_unit = catalog.features_sold_by_unit()
        snapshots = [one.snapshot for one in accounts if one.snapshot.feature in sold_by_unit]
        rules = await asyncio.gather(
            *(
                self.part("recharges", consumables.GetAutoRecharge(account=one.account, feature=one.feature))
                for one in snapshots
            )
        )
        return [rule for rule in rules if rule is not None]


async def load_billing_page_data(
    services: ServiceClient, caller: Caller, cursors: Mapping[str, str]
) -> BillingPageData:
    """Load the data of the billing page. Raises ProblemError if the catalog is unavailable."""
    loader, customer = _PartLoader(services, caller), caller.customer
    catalog = CatalogIndex((await services.request(GetCatalog(include_archived=True))).catalog)
    (
        (found, subscription, licensed),
        (team, listed),
        balances,
        add_ons,
        invoices,
        upcoming_invoice,
    ) = await asyncio.gather(
        asyncio.gather(
            loader.part("customer", subscriptions.GetCustomer(customer=customer)),
            loader.part("plan", subscriptions.GetSubscription(customer=customer)),
            loader.part("licenses", ListLicenses(customer=customer, limit=LICENSES_SHOWN)),
        ),
        loader.team(cursors.get("seats")),
        loader.balances(),
        loader.part("add_ons", subscriptions.ListAddOns(customer=customer, limit=LISTED_MAX)),
        loader.part(
            "invoices",
            subscriptions.ListInvoices(
                customer=customer, limit=INVOICES_SHOWN, cursor=cursors.get("invoices")
            ),
        ),
        loader.part("coming", subscriptions.UpcomingInvoice(customer=customer)),
    )
    rules = [rule.auto_recharge for rule in await loader.recharges(catalog, balances)]
    return BillingPageData(
        caller=caller,
        unavailable=frozenset(loader.unavailable),
        catalog=catalog,
        customer=found.customer if found else None,
        subscription=subscription.subscription if subscription else None,
        team=team,
        seats=listed,
        balances=balances,
        add_ons=add_ons.items if add_ons else [],
        invoices=invoices,
        upcoming_invoice=upcoming_invoice.invoice if upcoming_invoice else None,
        recharges={(rule.account, rule.feature): rule for rule in rules},
        licenses=licensed.items if licensed else [],
    )
