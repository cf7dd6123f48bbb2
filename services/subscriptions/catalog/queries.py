"""Questions about the catalog."""

from services.subscriptions.repository.catalog import load_catalog
from services.subscriptions.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog as m


@service.question(m.GetCatalog)
async def get_catalog(work: UnitOfWork, question: m.GetCatalog) -> m.CatalogFound:
    """Return the catalog in its document's order."""
    view = await load_catalog(work)
    return m.CatalogFound(catalog=view.listing(include_archived=question.include_archived))
