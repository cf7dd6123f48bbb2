"""Discounts: redeemed coupons and promotion codes of a customer."""

from __future__ import annotations

from fractions import Fraction

from sandbox.stripe.account import Account, Json
from sandbox.stripe.billing import calendar
from sandbox.stripe.billing.pricing import round_minor
from sandbox.stripe.faults import StripeFault, invalid

_TERMS = ("amount_off", "currency", "duration", "percent_off")


def is_valid(account: Account, coupon: Json) -> bool:
    """Return whether a coupon can still be redeemed."""
    if coupon["redeem_by"] is not None and coupon["redeem_by"] < account.now():
        return False
    return coupon["max_redemptions"] is None or coupon["times_redeemed"] < coupon["max_redemptions"]


def resolve(
    account: Account, given: Json, param: str, customer: str | None = None
) -> tuple[Json, Json | None]:
    """Return the coupon and promotion code of a `discounts` entry.

    Raises a fault if they cannot be redeemed.
    """
    if bool(given.get("coupon")) == bool(given.get("promotion_code")):
        raise invalid("You must pass either `coupon` or `promotion_code`.", param)
    code = None
    if given.get("promotion_code"):
        code = account.refer("promotion_code", given["promotion_code"], f"{param}[promotion_code]")
        expired = code["expires_at"] is not None and code["expires_at"] < account.now()
        used_up = code["max_redemptions"] is not None and code["times_redeemed"] >= code["max_redemptions"]
        if not code["active"] or expired or used_up or code["customer"] not in (None, customer):
            raise StripeFault(
                "This promotion code cannot be redeemed.", code="promotion_code_invalid", param=param
            )
    coupon_id = given.get("coupon") or (code or {})["promotion"]["coupon"]
    coupon = account.refer("coupon", coupon_id, f"{param}[coupon]")
    if not is_valid(account, coupon):
        raise StripeFault(f"Coupon {coupon_id} is expired.", code="coupon_expired", param=param)
    return coupon, code


def redeem(account: Account, coupon: Json, code: Json | None, customer: str, **owner: str) -> Json:
    """Create the discount of a redeemed coupon.

    `owner`: `subscription=…`, `checkout_session=…` or none (the customer).
    """
    start = account.now({"customer": customer})
    coupon["times_redeemed"] += 1
    if code is not None:
        code["times_redeemed"] += 1
    months = coupon["duration_in_months"] if coupon["duration"] == "repeating" else None
    discount: Json = {
        "id": account.new_id("di"),
        "object": "discount",
        "checkout_session": None,
        "customer": customer,
        "customer_account": None,
        "end": None if months is None else calendar.boundary(start, "month", 1, months),
        "invoice": None,
        "invoice_item": None,
        "promotion_code": code and code["id"],
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": start,
        "subscription": None,
        "subscription_item": None,
        # A copy of the terms: existing discounts stay when the coupon is deleted.
        "_coupon": {
            **{name: coupon[name] for name in _TERMS},
            "products": (coupon["_applies_to"] or {}).get("products"),
        },
    }
    discount.update(owner)
    account.insert(discount)
    account.emit("customer.discount.created", discount)
    return discount


def amount_off(coupon: Json, amount: int, currency: str) -> int:
    """Return the reduction of an amount in minor units by a coupon (or a discount's `_coupon`)."""
    if coupon["percent_off"] is not None:
        return round_minor(Fraction(amount) * Fraction(str(coupon["percent_off"])) / 100)
    return min(amount, int(coupon["amount_off"])) if coupon["currency"] == currency else 0


def create(account: Account, given: list[Json] | None, param: str, customer: str, **owner: str) -> list[str]:
    """Redeem the entries of a `discounts` parameter; return the ids of the discounts."""
    made = []
    for index, each in enumerate(given or []):
        if each.get("discount"):
            made.append(account.refer("discount", each["discount"], f"{param}[{index}][discount]")["id"])
            continue
        coupon, code = resolve(account, each, f"{param}[{index}]", customer)
        made.append(redeem(account, coupon, code, customer, **owner)["id"])
    return made


def apply(account: Account, discount_ids: list[str], lines: list[Json], currency: str) -> list[Json]:
    """Set the `discount_amounts` of the lines, and return the sum of each discount in order."""
    for line in lines:
        line["discount_amounts"] = []
    left = {index: line["amount"] for index, line in enumerate(lines) if line.get("discountable")}
    taken = []
    for discount_id in discount_ids:
        discount = account.peek("discount", discount_id)
        if discount is None:
            continue
        eligible = [index for index in left if _applies(discount, lines[index])]
        base = sum(left[index] for index in eligible)
        amount = amount_off(discount["_coupon"], base, currency) if base > 0 else 0
        taken.append({"amount": amount, "discount": discount_id})
        for index, share in _shares(amount, {index: left[index] for index in eligible}):
            left[index] -= share
            lines[index]["discount_amounts"].append({"amount": share, "discount": discount_id})
    return taken


def _shares(amount: int, lines: dict[int, int]) -> list[tuple[int, int]]:
    """Distribute an amount over lines in proportion to their amounts; credits get nothing."""
    found, base = [], sum(line for line in lines.values() if line > 0)
    for index, line in lines.items():
        if line > 0:
            share = round_minor(Fraction(amount * line, base))
            found.append((index, share))
            amount, base = amount - share, base - line
    return found


def _applies(discount: Json, line: Json) -> bool:
    products = discount["_coupon"]["products"]
    return not products or ((line.get("pricing") or {}).get("price_details") or {}).get("product") in products
