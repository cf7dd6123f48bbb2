"""Formats prices and amounts for the pages."""

from decimal import Decimal

from babel.numbers import format_decimal

from services.gateway.pages.i18n import Translations
from tallystick.messages.base import Money
from tallystick.messages.catalog import Interval, Price
from tallystick.messages.subscriptions import CustomPrice
from tallystick.money import minor_unit_digits


def format_price(price: Price, translations: Translations, quantity: int | None = None) -> str:
    """Describe a price: `€10.00 per seat and month, 5 seats`."""
    if price.model == "free" or price.currency is None:
        return translations.translate("price.free")
    every = format_rhythm(price.interval, price.interval_count, translations)
    if price.model == "flat":
        amount = translations.money((price.unit_amount or 0) + price.base_amount, price.currency)
        return translations.translate("price.flat", amount=amount, interval=every)
    unit_amount, is_lowest = unit_amount_of(price, quantity)
    key = "price.tiered" if is_lowest else "price.per_seat"
    amount = translations.money(unit_amount, price.currency)
    if price.interval_count > 1:
        text = translations.translate(f"{key}_several", amount=amount, interval=every)
    else:
        unit = translations.translate(f"price.interval.{price.interval}")
        text = translations.translate(key, amount=amount, interval=unit)
    if quantity is not None:
        text = translations.translate(
            "price.seats", count=quantity, number=translations.number(quantity), text=text
        )
    if price.base_amount:
        base = translations.translate(
            "price.flat", amount=translations.money(price.base_amount, price.currency), interval=every
        )
        text = translations.translate("price.with_base", base=base, text=text)
    return text


def format_custom_price(price: CustomPrice, quantity: int, translations: Translations) -> str:
    """Describe a price that was made in Stripe: `€77.00 every 3 months`; without an amount, return ""."""
    if price.unit_amount is None:
        return ""
    every = format_rhythm(price.interval, price.interval_count, translations)
    amount = translations.money(price.unit_amount * quantity, price.currency)
    return translations.translate("price.flat", amount=amount, interval=every)


def format_rhythm(interval: Interval, count: int, translations: Translations) -> str:
    """Describe how often a price is charged: `a month`, `every 3 months`."""
    if count == 1:
        return translations.translate(f"price.every.{interval}")
    return translations.translate(f"price.every_several.{interval}", number=translations.number(count))


def unit_amount_of(price: Price, quantity: int | None) -> tuple[int, bool]:
    """Return the amount of one unit in minor units, and whether it is only the lowest of several amounts."""
    if not price.tiers:
        return price.unit_amount or 0, False
    tiers = price.tiers
    if quantity is not None:
        index = next(
            (index for index, tier in enumerate(tiers) if tier.up_to is None or quantity <= tier.up_to), -1
        )
        tiers = [tiers[index]] if price.model == "volume" else tiers[: index + 1]
    amounts = {tier.unit_amount for tier in tiers}
    return min(amounts), len(amounts) > 1


def format_amount_input(money: Money, translations: Translations) -> str:
    """Format an amount for a form field: `300`, or `99.50`."""
    digits = minor_unit_digits(money.currency)
    exact = Decimal(money.amount).scaleb(-digits)
    pattern = "0" if exact == exact.to_integral_value() else f"0.{'0' * digits}"
    form_values: str = format_decimal(exact, format=pattern, locale=translations.locale)
    return form_values
