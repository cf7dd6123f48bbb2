"""Issue of licenses: by hand, and for a subscription."""

from services.licenses.domain.license_terms import LicenseTerms, terms_by_hand
from services.licenses.issuing.license_keys import WITHHELD, LicenseKeys, reveal_key
from services.licenses.rejections import require_running
from services.licenses.repository import lock_license
from services.licenses.service import service
from services.licenses.state_changes import emit_license, set_terms
from services.licenses.tables import KnownProduct, LicenseRow
from shared.errors import NotYetKnown, Rejected, invalid_message
from shared.ids import new_id
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import licenses as m
from tallystick.messages.base import Customer
from tallystick.messages.catalog import Product


@service.command(m.IssueLicense, reveal=reveal_key)
async def issue_license(work: UnitOfWork, command: m.IssueLicense, keys: LicenseKeys) -> m.LicenseIssued:
    """Issue a license by hand; raise Rejected `unknown_product`."""
    if command.expires_at is not None and command.expires_at <= work.now:
        raise invalid_message([{"field": "expires_at", "problem": "must be in the future"}])
    known = await work.session.get(KnownProduct, command.product)
    if known is None:
        unknown = Rejected(
            "unknown_product", "The catalog has no such product.", {"product": command.product}
        )
        # A product that was just added may not have been heard of.
        raise NotYetKnown.of(unknown)
    terms = terms_by_hand(
        Product.model_validate(known.snapshot, strict=False),
        seats=command.seats,
        features=command.features,
        instances=command.instances,
        expires_at=command.expires_at,
    )
    row = new_license(work, command.customer, terms, keys, subscription_id=None)
    row.key_shown = True
    return m.LicenseIssued(license=emit_license(work, row, [], "issued"), license_key=WITHHELD)


def new_license(
    work: UnitOfWork,
    customer: Customer,
    terms: LicenseTerms,
    keys: LicenseKeys,
    *,
    subscription_id: str | None,
) -> LicenseRow:
    """Add a license with its first key, which nobody has seen yet; the caller emits the event."""
    row = LicenseRow(
        license_id=new_id("lic"),
        version=0,
        customer=customer.token,
        subscription_id=subscription_id,
        product="",
        status="active",
        seats=None,
        features={},
        instances=1,
        grace_days=0,
        offline_days=1,
        expires_at=None,
        suspended_by_operator=False,
        suspended_by_subscription=False,
        reason=None,
        key_shown=False,
        file_sequence=0,
        reminded_days=None,
        issued_at=work.now,
        ended_at=None,
    )
    set_terms(row, terms)
    keys.assign(row, 1)
    work.session.add(row)
    return row


@service.command(m.ShowLicenseKey, reveal=reveal_key)
async def show_license_key(work: UnitOfWork, command: m.ShowLicenseKey, keys: LicenseKeys) -> m.LicenseIssued:
    """Show the key that came with a subscription; raise Rejected `license_key_shown`, `license_ended`."""
    row, activations = await lock_license(work, command.license_id)
    require_running(row)
    if row.key_shown:
        raise Rejected(
            "license_key_shown",
            "The key has been shown and is not stored. Replace it if it is lost.",
            {"license_id": row.license_id, "key_hint": row.key_hint},
        )
    # Anew, because the secret may be another one since it was issued.
    keys.assign(row, row.key_number)
    row.key_shown = True
    return m.LicenseIssued(license=emit_license(work, row, activations, "changed"), license_key=WITHHELD)


@service.command(m.RotateLicenseKey, reveal=reveal_key)
async def rotate_license_key(
    work: UnitOfWork, command: m.RotateLicenseKey, keys: LicenseKeys
) -> m.LicenseChanged:
    """Replace the key of a license; raise Rejected `license_ended`."""
    row, activations = await lock_license(work, command.license_id)
    require_running(row)
    keys.assign(row, row.key_number + 1)
    row.key_shown = True
    row.reason = command.reason
    return m.LicenseChanged(license=emit_license(work, row, activations, "changed"), license_key=WITHHELD)
