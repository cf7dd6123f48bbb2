"""Customers and their balances, which invoices use before a card is charged."""

from __future__ import annotations

from typing import Any

from sandbox.stripe import payment_methods
from sandbox.stripe.account import TEST_CLOCK, Account, Json
from sandbox.stripe.faults import StripeFault, invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, anything, integer, merge_metadata, metadata, one_of, text
from sandbox.stripe.routing import Route

ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), text)
_PLAIN = ("email", "name", "description", "phone", "preferred_locales", "tax_exempt", "invoice_prefix")


def create_customer(account: Account, params: Json) -> Json:
    """Create a customer, with a card if given. A declined card creates no customer."""
    clock = (
        account.refer(TEST_CLOCK, params["test_clock"], "test_clock") if params.get("test_clock") else None
    )
    customer: Json = {
        "id": account.new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": params.get("balance") or 0,
        "created": account.now(clock),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": account.new_id("p")[2:10].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merge_metadata(None, params.get("metadata")),
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": clock and clock["id"],
    }
    customer.update(_given(params))
    account.insert(customer)
    try:
        _set_payment_methods(account, customer, params)
    except StripeFault:
        account.remove(customer)
        raise
    account.emit("customer.created", customer)
    return customer


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/customers`."""
    return create_customer(account, params)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}`; a deleted one has only its id and `deleted`."""
    return account.get("customer", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/customers/{id}`."""
    customer = account.refer("customer", ids["id"], "id")
    before = {**customer, "invoice_settings": dict(customer["invoice_settings"])}
    changes = _given(params)
    if "metadata" in params:
        changes["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if params.get("balance") is not None and params["balance"] != customer["balance"]:
        add_balance(account, customer, params["balance"] - customer["balance"], "adjustment")
    customer.update(changes)
    _set_payment_methods(account, customer, params)
    previous = {name: value for name, value in before.items() if customer[name] != value}
    if previous:
        account.emit("customer.updated", customer, previous)
    return customer


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/customers/{id}`: permanently.

    Cards are detached, and a listener ends the subscriptions.
    """
    customer = account.refer("customer", ids["id"], "id")
    for method in account.find("payment_method", customer=customer["id"]):
        method["customer"] = None
    account.emit("customer.deleted", customer)
    gone = {"id": customer["id"], "object": "customer", "deleted": True}
    customer.clear()
    customer.update(gone)
    return customer


def list_customers(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers`, by `email`; customers with a test clock only if filtered by their clock."""
    found = account.find("customer", test_clock=params.get("test_clock"))
    if params.get("email"):
        found = [customer for customer in found if customer["email"] == params["email"]]
    return page(found, params, "/v1/customers")


# -- balance ----------------------------------------------------------------------------------------------


def add_balance(
    account: Account,
    customer: Json,
    amount: int,
    kind: str,
    *,
    currency: str | None = None,
    invoice: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Json:
    """Change a customer's balance (negative is credit), and return the transaction."""
    customer["balance"] += amount
    return account.insert(
        {
            "id": account.new_id("cbtxn"),
            "object": "customer_balance_transaction",
            "amount": amount,
            "checkout_session": None,
            "created": account.now(customer),
            "credit_note": None,
            "currency": currency or customer["currency"] or "usd",
            "customer": customer["id"],
            "customer_account": None,
            "description": description,
            "ending_balance": customer["balance"],
            "invoice": invoice,
            "livemode": False,
            "metadata": metadata or {},
            "type": kind,
        }
    )


def create_balance_transaction(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/customers/{id}/balance_transactions`."""
    customer = account.refer("customer", ids["id"], "customer")
    if customer["currency"] not in (None, params["currency"]):
        raise invalid(f"The customer's currency is {customer['currency']}.", "currency")
    customer["currency"] = params["currency"]
    before = customer["balance"]
    transaction = add_balance(
        account,
        customer,
        params["amount"],
        "adjustment",
        currency=params["currency"],
        description=params.get("description"),
        metadata=merge_metadata(None, params.get("metadata")),
    )
    account.emit("customer.updated", customer, {"balance": before})
    return transaction


def list_balance_transactions(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}/balance_transactions`."""
    found = account.find("customer_balance_transaction", customer=ids["id"])
    return page(found, params, f"/v1/customers/{ids['id']}/balance_transactions")


# -- cards ------------------------------------------------------------------------------------------------


def list_payment_methods(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}/payment_methods`."""
    account.refer("customer", ids["id"], "customer")
    found = payment_methods.of_customer(account, ids["id"], params.get("type"))
    return page(found, params, f"/v1/customers/{ids['id']}/payment_methods")


def retrieve_payment_method(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}/payment_methods/{method}`."""
    method = account.get("payment_method", ids["method"])
    if method["customer"] != ids["id"]:
        raise invalid(f"No such payment method: '{ids['method']}'", "payment_method", "resource_missing")
    return method


def _set_payment_methods(account: Account, customer: Json, params: Json) -> None:
    if params.get("payment_method"):
        payment_methods.attach_to(account, params["payment_method"], customer)
    settings: dict[str, Any] = params.get("invoice_settings") or {}
    default = settings.get("default_payment_method")
    if default is not None:
        method = payment_methods.find_method(account, default, "invoice_settings[default_payment_method]")
        if method["customer"] is None and params.get("payment_method") == default:
            method = payment_methods.of_customer(account, customer["id"])[-1]
        if method["customer"] != customer["id"]:
            raise invalid(
                f"The customer does not have a payment method with the ID {default}. The payment method"
                " must be"
                " attached to the customer.",
                "invoice_settings[default_payment_method]",
                "resource_missing",
            )
        settings = {**settings, "default_payment_method": method["id"]}
    customer["invoice_settings"].update(settings)


def _given(params: Json) -> Json:
    """Return the plain fields among the parameters."""
    given: Json = {name: params[name] for name in (*_PLAIN, "shipping") if name in params}
    if "address" in params:
        given["address"] = params["address"] and {**dict.fromkeys(ADDRESS), **params["address"]}
    if "preferred_locales" in given:
        given["preferred_locales"] = given["preferred_locales"] or []
    return given


_FIELDS = {
    "address": ADDRESS,
    "balance": integer,
    "description": text,
    "email": text,
    "invoice_prefix": text,
    "invoice_settings": {
        "default_payment_method": text,
        "custom_fields": anything,
        "footer": text,
        "rendering_options": anything,
    },
    "metadata": metadata,
    "name": text,
    "phone": text,
    "preferred_locales": [text],
    "shipping": {"address": ADDRESS, "name": text, "phone": text},
    "tax": anything,
    "tax_exempt": one_of("none", "exempt", "reverse"),
}
_PATH = "/v1/customers/{id}"

ROUTES = [
    Route("POST", "/v1/customers", create, {**_FIELDS, "payment_method": text, "test_clock": text}),
    Route("GET", "/v1/customers", list_customers, {**LIST, "email": text, "test_clock": text}),
    Route("GET", _PATH, retrieve, {}),
    Route("POST", _PATH, update, _FIELDS),
    Route("DELETE", _PATH, delete, {}),
    Route(
        "POST",
        _PATH + "/balance_transactions",
        create_balance_transaction,
        {"amount!": integer, "currency!": text, "description": text, "metadata": metadata},
    ),
    Route("GET", _PATH + "/balance_transactions", list_balance_transactions, LIST),
    Route("GET", _PATH + "/payment_methods", list_payment_methods, {**LIST, "type": text}),
    Route("GET", _PATH + "/payment_methods/{method}", retrieve_payment_method, {}),
]
