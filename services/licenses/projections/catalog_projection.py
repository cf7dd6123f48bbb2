"""Projection of products, so that a license by hand gets the terms of its product."""

from services.licenses.service import service
from services.licenses.tables import KnownProduct
from shared.messaging.feed_consumer import keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog


@service.event(catalog.ProductEvent, name="follow_product")
async def follow_product(work: UnitOfWork, event: catalog.ProductEvent) -> None:
    """Store a product of the catalog."""
    product = event.product
    await keep_newest(
        work,
        KnownProduct,
        code=product.code,
        version=product.version,
        snapshot=product.model_dump(mode="json"),
    )
