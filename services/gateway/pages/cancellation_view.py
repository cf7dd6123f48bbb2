"""The view of a cancellation: what ends when, and what is credited."""

from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.i18n import Translations
from tallystick.messages.subscriptions import CancellationPreview, EndingItem


def ending_texts(
    preview: CancellationPreview, catalog: CatalogIndex, translations: Translations
) -> list[str]:
    """Describe everything that ends, each with its date, and once what a plan gives twice."""
    return list(dict.fromkeys(_ending_text(item, catalog, translations) for item in preview.ends))


def credit_text(preview: CancellationPreview, translations: Translations) -> str | None:
    """Describe what is credited for paid time after the end; None if nothing is."""
    if preview.credit is None:
        return None
    return translations.translate("cancel.credit", amount=translations.price(preview.credit))


def _ending_text(item: EndingItem, catalog: CatalogIndex, translations: Translations) -> str:
    date = translations.date(item.ends_at) if item.ends_at is not None else "–"
    product = catalog.product(item.product)
    name = product.name if product is not None else translations.translate("plan.unnamed")
    if item.kind == "seats":
        count = item.quantity or 0
        return translations.translate(
            "cancel.ends.seats", count=count, number=translations.number(count), date=date
        )
    if item.kind == "units":
        name = catalog.feature_name(item.feature or "")
    return translations.translate(f"cancel.ends.{item.kind}", name=name, date=date)
