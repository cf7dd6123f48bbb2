"""Names of products and features, as of the catalog's last event."""

from services.notifications.service import service
from services.notifications.tables import KnownNameRow
from shared.messaging.feed_consumer import keep_newest
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import catalog


@service.event(catalog.ProductEvent, name="follow_product")
async def follow_product(work: UnitOfWork, event: catalog.ProductEvent) -> None:
    """Keep the name of a product."""
    product = event.product
    await keep_newest(
        work, KnownNameRow, entity="product", code=product.code, version=event.version, name=product.name
    )


@service.event(catalog.FeatureEvent, name="follow_feature")
async def follow_feature(work: UnitOfWork, event: catalog.FeatureEvent) -> None:
    """Keep the name of a feature."""
    feature = event.feature
    await keep_newest(
        work, KnownNameRow, entity="feature", code=feature.code, version=event.version, name=feature.name
    )
