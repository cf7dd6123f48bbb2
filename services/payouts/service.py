"""The service object that handlers register with."""

from services.payouts.tables import accounts, ledger, payouts
from services.payouts.tables.base import Row
from shared.messaging.service import Service

TABLES = (accounts, ledger, payouts)
"""Importing these modules declares the tables."""

service = Service("payouts", metadata=Row.metadata)
