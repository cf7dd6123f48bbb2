"""Loads the data of the billing page concurrently; parts of unavailable services are left out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.gateway.auth.principal import MANAGE, Caller
from services.gateway.pages.billing_parts import LISTED_MAX, AccountBalance, CatalogIndex, PartLoader
from services.gateway.service_client import ServiceClient
from tallystick.messages import consumables, seats, subscriptions
from tallystick.messages.catalog import GetCatalog
from tallystick.messages.licenses import LicenseSnapshot, ListLicenses

INVOICES_SHOWN = 12
"""A year of monthly invoices; older ones are on the next page."""
LICENSES_SHOWN = 20


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
    usage_alerts: dict[tuple[str, str], consumables.UsageAlertsSnapshot] = field(default_factory=dict)
    """The alerts that the caller may change, by account and feature; those without percentages, too."""

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


async def load_billing_page_data(
    services: ServiceClient, caller: Caller, cursors: Mapping[str, str]
) -> BillingPageData:
    """Load the data of the billing page. Raises ProblemError if the catalog is unavailable."""
    loader, customer = PartLoader(services, caller), caller.customer
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
    recharges, alerts = await asyncio.gather(
        loader.recharges(catalog, balances), loader.usage_alerts(balances, team)
    )
    rules = [rule.auto_recharge for rule in recharges]
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
        usage_alerts={
            (one.usage_alerts.account, one.usage_alerts.feature): one.usage_alerts for one in alerts
        },
    )
