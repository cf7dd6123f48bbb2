"""Tax ids of customers, such as the VAT id of a business in the EU. They count as verified at once."""

from __future__ import annotations

import re

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import StripeFault, missing_object
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, text
from sandbox.stripe.routing import Route

_EU_VAT = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,12}")


def add(account: Account, customer: Json, kind: str, value: str) -> Json:
    """Add a tax id to a customer; an id that they have is returned. Raises a fault for an invalid VAT id."""
    if kind == "eu_vat" and not _EU_VAT.fullmatch(value):
        raise StripeFault("Invalid value for eu_vat.", code="tax_id_invalid", param="value")
    for known in of_customer(account, customer["id"]):
        if (known["type"], known["value"]) == (kind, value):
            return known
    country = value[:2].replace("EL", "GR") if kind == "eu_vat" else None
    tax_id: Json = {
        "id": account.new_id("txi"),
        "object": "tax_id",
        "country": country,
        "created": account.now(customer),
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "owner": {"customer": customer["id"], "customer_account": None, "type": "customer"},
        "type": kind,
        "value": value,
        "verification": {"status": "verified", "verified_address": None, "verified_name": None},
    }
    account.insert(tax_id)
    account.emit("customer.tax_id.created", tax_id)
    return tax_id


def of_customer(account: Account, customer_id: str) -> list[Json]:
    """Return the tax ids of a customer, oldest first."""
    return account.find("tax_id", customer=customer_id)


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/customers/{id}/tax_ids`."""
    customer = account.refer("customer", ids["id"], "customer")
    return add(account, customer, params["type"], params["value"])


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}/tax_ids/{tax_id}`."""
    found = account.get("tax_id", ids["tax_id"])
    if found["customer"] != ids["id"]:
        raise missing_object("tax_id", ids["tax_id"])
    return found


def delete(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`DELETE /v1/customers/{id}/tax_ids/{tax_id}`."""
    found = retrieve(account, params, ids)
    account.emit("customer.tax_id.deleted", found)
    account.remove(found)
    return {"id": found["id"], "object": "tax_id", "deleted": True}


def list_tax_ids(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/customers/{id}/tax_ids`."""
    return page(of_customer(account, ids["id"]), params, f"/v1/customers/{ids['id']}/tax_ids")


def _included(account: Account, customer: Json) -> Json:
    return page(of_customer(account, customer["id"]), {}, f"/v1/customers/{customer['id']}/tax_ids")


_PATH = "/v1/customers/{id}/tax_ids"
INCLUDES = {("customer", "tax_ids"): _included}

ROUTES = [
    Route("POST", _PATH, create, {"type!": text, "value!": text}),
    Route("GET", _PATH, list_tax_ids, LIST),
    Route("GET", _PATH + "/{tax_id}", retrieve, {}),
    Route("DELETE", _PATH + "/{tax_id}", delete, {}),
]
