"""Email addresses: what counts as one, and when two are the same."""

import re

from services.seats.domain.rule_violation import RuleViolation

ADDRESS_MAX_CHARACTERS = 254
"""RFC 5321: what fits a mail's envelope."""
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
_ADDRESS = re.compile(rf"[^\s@\x00-\x1f\x7f\"(),:;<>\[\]\\]{{1,64}}@(?:{_LABEL}\.)+{_LABEL}")
"""A local part without what would need quoting, and a domain of two labels or more, in any script."""


def normalize_email(typed: str) -> str:
    """The address as it is stored and compared; raises RuleViolation `invalid_email`."""
    address = typed.strip().lower()
    local = address.partition("@")[0]
    well_formed = _ADDRESS.fullmatch(address) and not local.startswith(".") and not local.endswith(".")
    if not well_formed or ".." in local or len(address) > ADDRESS_MAX_CHARACTERS:
        raise RuleViolation("invalid_email", f"{typed[:100]!r} is not an email address.")
    return address


def is_same_email(typed: str, stored: str) -> bool:
    """Whether somebody typed the address that is stored."""
    return typed.strip().lower() == stored
