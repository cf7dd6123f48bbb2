"""Totals of units over all accounts."""

from typing import Literal

from pydantic import Field

from tallystick.messages.base import Count, Question, TolerantModel
from tallystick.messages.consumables.types import SERVICE


class FeatureTotal(TolerantModel):
    """Units of one feature over all accounts."""

    kind: Literal["limit", "consumable"]
    actual: Count = Field(
        description="Units in use (`limit`), or used or reserved of grants that run (`consumable`), in "
        "accounts with a limit."
    )
    theoretical_limit: Count = Field(description="What these accounts may have in use, or were granted.")
    unlimited_accounts: Count = Field(description="Accounts without a limit.")
    unlimited_actual: Count = Field(description="Units in use or used in accounts without a limit.")


class TotalsByFeature(TolerantModel):
    """Answer to `feature_totals`."""

    features: dict[str, FeatureTotal] = Field(description="By feature code.")


class FeatureTotals(Question[TotalsByFeature], service=SERVICE):
    """Get the totals of every limit and consumable, kept while units change; for operators."""
