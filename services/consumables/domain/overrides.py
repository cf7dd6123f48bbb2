"""The effect of a customer's overrides on the units of the customer's own account.

A granting override is one more source of units beside the subscriptions. A revoking override stops the grants
of its feature by subscriptions for as long as it is in force.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from tallystick.messages.subscriptions import OverrideSnapshot

STATUS = "override"
"""The status of an override's row in `known_subscriptions`."""
PREFIX = "override."
"""The prefix of an override's id in `known_subscriptions`, and of the keys of its grants."""
REASON = "override_feature"
"""The reason of grants made by overrides; their source is `manual`, as an operator set the override."""
NO_END = datetime(9999, 1, 1, tzinfo=UTC)
"""The end of the period of an override that lasts until it is removed; others end when they are set to."""


def override_id(customer: str, feature: str) -> str:
    """Return the id of a customer's override of a feature.

    Successive overrides of the same feature share it, so that together they grant nothing twice.
    """
    return f"{PREFIX}{customer}.{feature}"


def granting_overrides(overrides: Iterable[OverrideSnapshot]) -> dict[str, OverrideSnapshot]:
    """Return the overrides that grant units, by feature."""
    return {one.feature: one for one in overrides if one.allowed and one.kind != "flag"}


def revoked_features(overrides: Iterable[OverrideSnapshot]) -> list[str]:
    """Return the features whose grants by subscriptions are revoked for a customer."""
    return sorted(one.feature for one in overrides if not one.allowed)
