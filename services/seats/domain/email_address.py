"""Email addresses: validation, the stored form, and comparison."""

from email_validator import EmailNotValidError, validate_email

from services.seats.domain.rule_violation import RuleViolation


def normalize_email(typed: str) -> str:
    """Return an address trimmed and in lower case, as it is stored; raise RuleViolation `invalid_email`."""
    address = typed.strip().lower()
    try:
        # `strict` limits the local part to 64 characters, as RFC 5321 does; names that are not delivered in
        # the internet, such as those under `.local`, may be a company's own.
        found = validate_email(address, check_deliverability=False, strict=True, globally_deliverable=False)
    except EmailNotValidError:
        raise _invalid(typed) from None
    if "." not in found.domain:
        raise _invalid(typed)
    return address


def is_same_email(typed: str, stored: str) -> bool:
    """Compare an address with a stored one, trimmed and in lower case."""
    return typed.strip().lower() == stored


def _invalid(typed: str) -> RuleViolation:
    return RuleViolation("invalid_email", f"{typed[:100]!r} is not an email address.")
