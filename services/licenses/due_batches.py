"""How jobs process due licenses: in batches, one transaction for each."""

from collections.abc import Awaitable, Callable
from datetime import datetime

import sqlalchemy as sa

from services.licenses.repository import Activations, load_activations
from services.licenses.tables import LicenseRow
from shared.messaging.service import tick_cause
from shared.persistence.unit_of_work import Transactions, UnitOfWork

DUE_LICENSES_BATCH = 200
"""Licenses changed in one transaction: enough to be cheap, few enough to keep locks short."""

Change = Callable[[UnitOfWork, LicenseRow, Activations], Awaitable[None]]


async def for_each_due(
    transactions: Transactions, job: str, at: datetime, due: sa.ColumnElement[bool], change: Change
) -> None:
    """Change every license that is `due`, in the order of their ids, each once."""
    after = ""
    while True:
        async with transactions.begin(caused_by=tick_cause("licenses", job, at), now=at) as work:
            query = sa.select(LicenseRow).where(due, LicenseRow.license_id > after)
            query = query.order_by(LicenseRow.license_id).limit(DUE_LICENSES_BATCH).with_for_update()
            rows = (await work.session.scalars(query)).all()
            activations = await load_activations(work.session, [row.license_id for row in rows])
            for row in rows:
                await change(work, row, activations.get(row.license_id, []))
        if len(rows) < DUE_LICENSES_BATCH:
            return
        after = rows[-1].license_id
