"""Tax rates: made by hand and attached to items, or made by automatic tax for a country."""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe.account import Account, Json
from sandbox.stripe.faults import invalid
from sandbox.stripe.lists import page
from sandbox.stripe.parameters import LIST, boolean, decimal, merge_metadata, metadata, text
from sandbox.stripe.routing import Route

MAX_RATES = 5
"""Stripe's limit of tax rates per line or invoice."""
_PLAIN = ("active", "country", "description", "display_name", "jurisdiction", "state", "tax_type")


def new_tax_rate(account: Account, *, percentage: str, inclusive: bool, **values: object) -> Json:
    """Create a tax rate; its percentage never changes."""
    rate: Json = {
        "id": account.new_id("txr"),
        "object": "tax_rate",
        "active": True,
        "country": None,
        "created": account.now(),
        "description": None,
        "display_name": None,
        "effective_percentage": None,
        "flat_amount": None,
        "inclusive": inclusive,
        "jurisdiction": None,
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": {},
        "percentage": _number(percentage),
        "rate_type": None,
        "state": None,
        "tax_type": None,
        **values,
    }
    account.insert(rate)
    account.emit("tax_rate.created", rate)
    return rate


def share(rate: Json) -> Fraction:
    """Return the rate as a fraction of the net amount."""
    return Fraction(str(rate["percentage"])) / 100


def resolve(account: Account, given: list[str] | None, path: str) -> list[Json]:
    """Return the tax rates of a parameter. Raises the faults of rates that cannot be used together."""
    found = []
    for index, rate_id in enumerate(given or []):
        rate = account.refer("tax_rate", rate_id, f"{path}[{index}]")
        if not rate["active"]:
            raise invalid(f"The tax rate {rate_id} is archived; use an active one.", f"{path}[{index}]")
        found.append(dict(rate))
    if len(found) > MAX_RATES:
        raise invalid(f"You can attach at most {MAX_RATES} tax rates.", path)
    if len({rate["inclusive"] for rate in found}) > 1:
        raise invalid("You cannot combine inclusive and exclusive tax rates.", path)
    return found


def create(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/tax_rates`."""
    if not 0 <= Fraction(params["percentage"]) <= 100:
        raise invalid("The percentage must be between 0 and 100.", "percentage")
    given = {name: params[name] for name in _PLAIN if name in params}
    given["metadata"] = merge_metadata(None, params.get("metadata"))
    return new_tax_rate(account, percentage=params["percentage"], inclusive=params["inclusive"], **given)


def retrieve(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/tax_rates/{id}`."""
    return account.get("tax_rate", ids["id"])


def update(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`POST /v1/tax_rates/{id}`: everything but the percentage and whether it is inclusive."""
    rate = account.get("tax_rate", ids["id"])
    changes: Json = {name: params[name] for name in _PLAIN if name in params}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(rate["metadata"], params["metadata"])
    account.change(rate, "tax_rate.updated", **changes)
    return rate


def list_rates(account: Account, params: Json, ids: dict[str, str]) -> Json:
    """`GET /v1/tax_rates`, by `active` and `inclusive`."""
    equals = {name: params[name] for name in ("active", "inclusive") if params.get(name) is not None}
    return page(account.find("tax_rate", **equals), params, "/v1/tax_rates")


def _number(percentage: str) -> int | float:
    value = float(percentage)
    return int(value) if value == int(value) else value


_UPDATE = {
    "active": boolean,
    "country": text,
    "description": text,
    "display_name": text,
    "jurisdiction": text,
    "metadata": metadata,
    "state": text,
    "tax_type": text,
}
_PATH = "/v1/tax_rates"

ROUTES = [
    Route(
        "POST",
        _PATH,
        create,
        {**_UPDATE, "display_name!": text, "inclusive!": boolean, "percentage!": decimal},
    ),
    Route("GET", _PATH, list_rates, {**LIST, "active": boolean, "inclusive": boolean}),
    Route("GET", _PATH + "/{id}", retrieve, {}),
    Route("POST", _PATH + "/{id}", update, _UPDATE),
]
