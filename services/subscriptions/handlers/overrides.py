"""Exceptions that people make for one customer."""

from services.subscriptions.overrides.set_override import override
from services.subscriptions.service import service
from shared.persistence.unit_of_work import Work
from tallystick.messages import subscriptions as m


@service.command(m.OverrideFeature)
async def override_feature(work: Work, command: m.OverrideFeature) -> m.EntitlementFound:
    """Give, add or take away a feature, until it ends or is set anew."""
    return await override(work, command)
