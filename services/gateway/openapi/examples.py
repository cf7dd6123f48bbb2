"""Examples for the OpenAPI document, built from its schemas by a field's name, else by its type."""

from typing import Any

_ID = "01jk2m3n4p5q6r7s8t9v0w1x2y"
BY_NAME: dict[str, Any] = {
    "account": "customer:organization_acme",
    "acting_as": {"type": "user", "id": "7"},
    "account_id": f"acct_{_ID}",
    "checkout_url": "https://checkout.stripe.com/c/pay/cs_live_a1B2",
    "after_url": "https://app.example.com/thanks",
    "cancel_url": "https://app.example.com/plans",
    "success_url": "https://app.example.com/thanks",
    "refresh_url": "https://app.example.com/settings",
    "return_url": "https://app.example.com/settings",
    "portal_url": "https://billing.stripe.com/p/session/live_YWNjdF8x",
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1P/live_1",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1P/live_1/pdf",
    "url": "https://billing.example.com/session?token=eyJhbGciOiJIUzI1NiJ9…",
    "caused_by": "6f1c2a52-7d0b-4b0e-9a57-0c1f3f4f9a10",
    "code": "team",
    "country": "DE",
    "consumable_id": "customer_organization_acme.mentorship_hours",
    "currency": "eur",
    "default_currency": "eur",
    "description": "5 × Team, February",
    "display_name": "VAT",
    "email": "member@example.com",
    "entitlement_id": "organization_acme.audio_transcription",
    "event": "invoice.paid",
    "event_id": "evt_1PgafmB7WZ01zgkW6dKueIc5",
    "feature": "mentorship_hours",
    "id": "acme",
    "instance_id": "host-7f3a",
    "invitation_token": "Zr1Yw7c2v0pQm8uT5nK3xE9hJ6dL4sGfBaOqRiVtWyU",
    "token": "Zr1Yw7c2v0pQm8uT5nK3xE9hJ6dL4sGfBaOqRiVtWyU",
    "key_hint": "M2K7QE",
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    "license_file": "eyJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14…",
    "license_key": "TSL-N79MWA4B-2WPDP6PV-V1ZEDRY6-H6CTDBM2-E",
    "message_id": "<0123456789abcdef0123456789abcdef.invitation@example.com>",
    "name": "Team",
    "number": "F3A9-0042",
    "next_cursor": None,
    "jurisdiction": "DE",
    "percentage": "19",
    "price": "team_monthly",
    "product": "team",
    "reason": "Goodwill after an outage",
    "reference": "order 1042",
    "role": "editor",
    "onboarding_url": "https://connect.stripe.com/setup/e/acct_1P/a1B2",
    "seller_balance_id": "organization_acme.eur",
    "stripe_account_id": "acct_1PgafTB7WZ01zgkW",
    "stripe_transfer_id": "tr_1MiN3gLkdIwHu7ixNCZvFdgA",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "stripe_customer_id": "cus_NffrFeUfNV2Hib",
    "stripe_dispute_id": "dp_1Pgc71B7WZ01zgkWMevJiAUx",
    "stripe_invoice_id": "in_1MtHbELkdIwHu7ixl4OzzPMv",
    "stripe_payment_link_id": "plink_1Pgc78B7WZ01zgkWC75kX0jg",
    "stripe_refund_id": "re_1Pgc72B7WZ01zgkWqPvrRrPE",
    "stripe_price_id": "price_1MoBy5LkdIwHu7ixZhnattbh",
    "stripe_product_id": "prod_NWjs8kKbJWmuuc",
    "stripe_subscription_id": "sub_1MowQVLkdIwHu7ixeRlqHVzs",
    "stripe_tax_rate_id": "txr_1Pgc7BB7WZ01zgkW4Iwwvf6z",
    "state": None,
    "tax_rate": "vat_de",
    "tax_type": "vat",
    "type": "organization",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    "last_error": None,
    "path": "products[0].prices[1]",
    "problem": "must be contiguous",
}
PREFIXES = {
    "snapshot_id": "snapshot",
    "alarm_id": "alarm",
    "add_on_id": "addon",
    "checkout_id": "chk",
    "customer_id": "cus",
    "delivery_id": "dlv",
    "endpoint_id": "ep",
    "entry_id": "entry",
    "feature_id": "feat",
    "grant_id": "grant",
    "invoice_id": "inv",
    "license_id": "lic",
    "payout_account_id": "pacct",
    "payout_id": "payout",
    "notification_id": "ntf",
    "price_id": "price",
    "product_id": "prod",
    "recharge_id": "rech",
    "reservation_id": "resv",
    "dispute_id": "dispute",
    "payment_link_id": "plink",
    "refund_id": "refund",
    "use_id": "use",
    "seat_id": "seat",
    "subscription_id": "sub",
    "tax_rate_id": "taxrate",
    "team_id": "team",
}
MEMBERS = frozenset({"member", "billing_manager", "consumer"})
NUMBERS = {"amount": 4900, "quantity": 5, "total": 4900, "amount_due": 4900, "amount_paid": 4900}
MOMENT = "2026-02-01T00:00:00Z"


def example_of(schema: dict[str, Any], schemas: dict[str, Any], name: str = "") -> Any:
    """Return a value that fits a JSON schema; `schemas` are the components it refers to."""
    if "$ref" in schema:
        if name in MEMBERS and schema["$ref"].endswith("/Customer"):
            return {"type": "user", "id": "7"}
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if schema.get("examples"):
        return schema["examples"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            unset = name in BY_NAME and BY_NAME[name] is None
            return None if unset else example_of(schema[choice][0], schemas, name)
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {field: example_of(shape, schemas, field) for field, shape in fields.items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas, name.removesuffix("s"))]
    return _plain(schema, name)


def _plain(schema: dict[str, Any], name: str) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return "organization" if "organization" in schema["enum"] else schema["enum"][0]
    match schema.get("type"):
        case "string":
            return _text(schema, name)
        case "integer" | "number":
            return max(int(schema.get("minimum", 0)), NUMBERS.get(name, schema.get("default") or 1))
        case "boolean":
            return bool(schema.get("default", False))
    return {}


def _text(schema: dict[str, Any], name: str) -> str:
    if schema.get("format") == "date-time":
        return MOMENT
    if name in PREFIXES:
        return f"{PREFIXES[name]}_{_ID}"
    known = BY_NAME.get(name)
    return known if isinstance(known, str) else "text"
