"""The language of `subscriptions`: customers, subscriptions, invoices and entitlements.

The catalog, which the same service keeps, has its own module.
"""

from tallystick.messages.subscriptions.buying import (
    CheckoutStarted,
    CreateSubscription,
    ItemsToBuy,
    ItemToBuy,
    StartCheckout,
)
from tallystick.messages.subscriptions.charges import Charge, ChargeCustomer, InvoiceFound
from tallystick.messages.subscriptions.customers import (
    CustomerEvent,
    CustomerFound,
    CustomerSnapshot,
    GetCustomer,
    RegisterCustomer,
)
from tallystick.messages.subscriptions.entitlements import (
    Allowance,
    BucketEntry,
    CheckEntitlement,
    EntitlementEvent,
    EntitlementPage,
    EntitlementSnapshot,
    EntitlementSource,
    ListEntitlements,
)
from tallystick.messages.subscriptions.invoices import (
    InvoiceEvent,
    InvoiceLine,
    InvoicePage,
    InvoiceSnapshot,
    ListInvoices,
    Span,
)
from tallystick.messages.subscriptions.life import (
    PauseSubscription,
    ReactivateSubscription,
    ResumeSubscription,
)
from tallystick.messages.subscriptions.overrides import EntitlementFound, OverrideFeature
from tallystick.messages.subscriptions.portal import OpenPortal, PortalOpened
from tallystick.messages.subscriptions.subscriptions import (
    CancelSubscription,
    GetSubscription,
    ItemFeature,
    ListSubscriptions,
    ScheduledChange,
    SubscriptionEvent,
    SubscriptionFound,
    SubscriptionItem,
    SubscriptionPage,
    SubscriptionSnapshot,
)
from tallystick.messages.subscriptions.words import (
    ITEMS_MAX,
    SERVICE,
    Collection,
    InvoiceStatus,
    Quantity,
    Status,
    Through,
)

__all__ = [
    "ITEMS_MAX",
    "SERVICE",
    "Allowance",
    "BucketEntry",
    "CancelSubscription",
    "Charge",
    "ChargeCustomer",
    "CheckEntitlement",
    "CheckoutStarted",
    "Collection",
    "CreateSubscription",
    "CustomerEvent",
    "CustomerFound",
    "CustomerSnapshot",
    "EntitlementEvent",
    "EntitlementFound",
    "EntitlementPage",
    "EntitlementSnapshot",
    "EntitlementSource",
    "GetCustomer",
    "GetSubscription",
    "InvoiceEvent",
    "InvoiceFound",
    "InvoiceLine",
    "InvoicePage",
    "InvoiceSnapshot",
    "InvoiceStatus",
    "ItemFeature",
    "ItemToBuy",
    "ItemsToBuy",
    "ListEntitlements",
    "ListInvoices",
    "ListSubscriptions",
    "OpenPortal",
    "OverrideFeature",
    "PortalOpened",
    "PauseSubscription",
    "Quantity",
    "ReactivateSubscription",
    "RegisterCustomer",
    "ResumeSubscription",
    "ScheduledChange",
    "Span",
    "StartCheckout",
    "Status",
    "SubscriptionEvent",
    "SubscriptionFound",
    "SubscriptionItem",
    "SubscriptionPage",
    "SubscriptionSnapshot",
    "Through",
]
