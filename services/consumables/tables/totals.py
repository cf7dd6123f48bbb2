"""Tables of the totals over all accounts, by feature.

Triggers on `grants` and `balances` append how each statement changes the totals; a job adds up what was
appended. Nothing is ever updated by two transactions at once, so consumption never waits for a total.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from services.consumables.tables.base import Row


class FeatureTotalRow(Row):
    """Units of a feature over all accounts: what was appended so far, added up."""

    __tablename__ = "feature_totals"

    feature: Mapped[str] = mapped_column(primary_key=True)
    counted_from: Mapped[str] = mapped_column(primary_key=True)
    """`grants` for consumables, whose running period counts; `balances` for limits."""
    until: Mapped[datetime] = mapped_column(primary_key=True)
    """The end of the hour in which the grants expire; infinity for those that do not, and for limits."""
    actual: Mapped[int]
    theoretical_limit: Mapped[int]
    unlimited_actual: Mapped[int]


class FeatureChangeRow(Row):
    """How one statement changed the totals of a feature."""

    __tablename__ = "feature_changes"

    change_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    feature: Mapped[str]
    counted_from: Mapped[str]
    until: Mapped[datetime]
    actual: Mapped[int]
    theoretical_limit: Mapped[int]
    unlimited_actual: Mapped[int]
