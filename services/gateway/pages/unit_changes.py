"""What a confirmation says about units: those that are taken back or added, and those of later cycles."""

from services.gateway.pages.billing_parts import CatalogIndex
from services.gateway.pages.i18n import Translations
from tallystick.messages.subscriptions import ChangePreview, UnitsChange


def unit_texts(preview: ChangePreview, catalog: CatalogIndex, translations: Translations) -> list[str]:
    """Describe what a change does to units, a sentence or two for each feature."""
    if preview.units is None:
        return [translations.translate("units.unknown")]
    return [
        " ".join(_sentences(units, catalog.feature_name(units.feature), preview.when, translations))
        for units in preview.units
    ]


def _sentences(units: UnitsChange, name: str, when: str | None, translations: Translations) -> list[str]:
    values = {"name": name, "remaining": translations.number(units.remaining)}
    if when == "period_end":
        sentences = [translations.translate("units.stay", **values)]
    elif units.change:
        key, count = ("units.taken", -units.change) if units.change < 0 else ("units.added", units.change)
        this = translations.translate(f"units.this.{units.every or 'period'}")
        number = translations.number(count)
        sentences = [translations.translate(key, count=count, number=number, this=this, **values)]
    else:
        sentences = [translations.translate("units.same", **values)]
    if units.next_cycle is not None:
        later = translations.number(units.next_cycle)
        each = translations.translate(f"units.each.{units.every or 'period'}")
        sentences.append(translations.translate("units.later", number=later, each=each))
    if units.accounts > 1:
        seats = translations.number(units.accounts)
        sentences.append(translations.translate("units.seats", number=seats))
    return sentences
