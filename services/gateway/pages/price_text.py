"""Prices and amounts in words, as a customer reads them before there is an invoice."""

from decimal import Decimal

from babel.numbers import format_decimal

from services.gateway.pages.i18n import Words
from tallystick.messages.base import Money
from tallystick.messages.catalog import Price
from tallystick.money import minor_unit_digits


def cost_of(price: Price, words: Words, quantity: int | None = None) -> str:
    """What a price comes to, in words: `€10.00 per seat and month, 5 seats`."""
    if price.model == "free" or price.currency is None:
        return words.say("price.free")
    every = words.say(f"price.every.{price.interval}")
    if price.model == "flat":
        amount = words.money((price.unit_amount or 0) + price.base_amount, price.currency)
        return words.say("price.flat", amount=amount, interval=every)
    unit_amount, is_lowest = unit_amount_of(price, quantity)
    text = words.say(
        "price.tiered" if is_lowest else "price.per_seat",
        amount=words.money(unit_amount, price.currency),
        interval=words.say(f"price.interval.{price.interval}"),
    )
    if quantity is not None:
        text = words.say("price.seats", count=quantity, number=words.number(quantity), text=text)
    if price.base_amount:
        base = words.say("price.flat", amount=words.money(price.base_amount, price.currency), interval=every)
        text = words.say("price.with_base", base=base, text=text)
    return text


def unit_amount_of(price: Price, quantity: int | None) -> tuple[int, bool]:
    """What one unit costs, in minor units, and whether that is only the lowest of several amounts."""
    if not price.tiers:
        return price.unit_amount or 0, False
    tiers = price.tiers
    if quantity is not None:
        place = next(
            (place for place, tier in enumerate(tiers) if tier.up_to is None or quantity <= tier.up_to), -1
        )
        tiers = [tiers[place]] if price.model == "volume" else tiers[: place + 1]
    amounts = {tier.unit_amount for tier in tiers}
    return min(amounts), len(amounts) > 1


def as_typed(money: Money, words: Words) -> str:
    """An amount as somebody would type it into a form: `300`, or `99.50`."""
    digits = minor_unit_digits(money.currency)
    exact = Decimal(money.amount).scaleb(-digits)
    pattern = "0" if exact == exact.to_integral_value() else f"0.{'0' * digits}"
    typed: str = format_decimal(exact, format=pattern, locale=words.locale)
    return typed
