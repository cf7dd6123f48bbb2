"""List of the resource modules.

A module has `ROUTES: list[Route]`. Optional: `due(account, until, clock_id)` returns the steps due by `until`
as (time, callable) for objects on that test clock (None: without one); `LISTENERS: dict[event type,
callable(account, obj)]` are called after each such event; `INCLUDES: dict[(object type, property),
callable(account, obj)]` returns properties shown only when expanded.
"""

from __future__ import annotations

from types import ModuleType

from sandbox.stripe import (
    account_details,
    authentication,
    billing_portal,
    charges,
    checkout_page,
    checkout_sessions,
    connected_accounts,
    coupons,
    credit_notes,
    customers,
    deliveries,
    disputes,
    events,
    invoice_items,
    invoice_pages,
    invoice_preview,
    invoices,
    meters,
    onboarding_page,
    payment_intents,
    payment_links,
    payment_methods,
    payments_page,
    payouts,
    portal_page,
    prices,
    products,
    promotion_codes,
    refunds,
    reset,
    return_pages,
    setup_intents,
    subscription_items,
    subscription_schedules,
    subscriptions,
    tax_ids,
    tax_rates,
    test_clocks,
    transfers,
    webhook_endpoints,
)
from sandbox.stripe.account import Account
from sandbox.stripe.routing import Router

MODULES: tuple[ModuleType, ...] = (
    account_details,
    authentication,
    billing_portal,
    charges,
    checkout_page,
    checkout_sessions,
    connected_accounts,
    coupons,
    credit_notes,
    customers,
    deliveries,
    disputes,
    events,
    invoice_items,
    invoice_pages,
    invoice_preview,
    invoices,
    meters,
    onboarding_page,
    payment_intents,
    payment_links,
    payment_methods,
    payouts,
    payments_page,
    portal_page,
    prices,
    products,
    promotion_codes,
    refunds,
    reset,
    return_pages,
    setup_intents,
    subscription_items,
    subscription_schedules,
    subscriptions,
    tax_ids,
    tax_rates,
    test_clocks,
    transfers,
    webhook_endpoints,
)


def register(account: Account) -> Router:
    """Register the listeners of every module, and return the router of all routes."""
    for module in MODULES:
        if hasattr(module, "due"):
            account.due_sources.append(module.due)
        for event_type, listener in getattr(module, "LISTENERS", {}).items():
            account.on(event_type, listener)
        account.includes.update(getattr(module, "INCLUDES", {}))
    return Router(route for module in MODULES for route in module.ROUTES)
