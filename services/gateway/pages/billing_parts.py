"""Loads single parts of a customer's pages; a part whose service is unavailable is named and left out."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from services.gateway.auth.ownership import find_team
from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.catalog_listing import listed_products
from services.gateway.problem_details import ProblemError
from services.gateway.service_client import ServiceClient
from tallystick.messages import consumables, seats
from tallystick.messages.base import Request
from tallystick.messages.catalog import Catalog, Feature, Price, ProductWithPrices

Result = TypeVar("Result", bound=BaseModel)
Answer = TypeVar("Answer")

SERVICE_UNAVAILABLE = 503
PART_TIMEOUT_SECONDS = 2.0
"""How long a page waits for one of its parts before it is rendered without it."""
SEATS_SHOWN = 50
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


def paid_accounts(caller: Caller, team: seats.TeamSnapshot | None) -> set[str]:
    """Return the accounts whose units the customer pays for: their own and their team's pool."""
    own = f"customer:{caller.customer.token}"
    if team is None or team.customer != caller.customer:
        return {own}
    return {own, f"team:{team.team_id}"}


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


class PartLoader:
    """Loads parts of the page and collects the names of those that are unavailable."""

    def __init__(self, services: ServiceClient, caller: Caller) -> None:
        self.unavailable: set[str] = set()
        self._services = services
        self._caller = caller

    async def part(self, name: str, question: Request[Result]) -> Result | None:
        """Load the answer to a question; None if there is none, or its service is unavailable."""
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
        """Load the caller's team and a page of its seats."""
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

    async def usage_alerts(
        self, accounts: list[AccountBalance], team: seats.TeamSnapshot | None
    ) -> list[consumables.UsageAlerts]:
        """Load the alerts of consumables that the customer pays for, if the caller may change them."""
        if not self._caller.may(MANAGE):
            return []
        paid_for = paid_accounts(self._caller, team)
        snapshots = [
            one.snapshot
            for one in accounts
            if one.snapshot.kind == "consumable" and one.snapshot.account in paid_for
        ]
        alerts = await asyncio.gather(
            *(
                self.part("alerts", consumables.GetUsageAlerts(account=one.account, feature=one.feature))
                for one in snapshots
            )
        )
        return [one for one in alerts if one is not None]

    async def recharges(
        self, catalog: CatalogIndex, accounts: list[AccountBalance]
    ) -> list[consumables.AutoRecharge]:
        """Load the auto-recharges of the features that are sold by the unit."""
        sold_by_unit = catalog.features_sold_by_unit()
        snapshots = [one.snapshot for one in accounts if one.snapshot.feature in sold_by_unit]
        rules = await asyncio.gather(
            *(
                self.part("recharges", consumables.GetAutoRecharge(account=one.account, feature=one.feature))
                for one in snapshots
            )
        )
        return [rule for rule in rules if rule is not None]
