"""Outcomes of stored events, reported by other services."""

from services.webhooks.domain.stripe_event import apply_report
from services.webhooks.event_store import repository
from services.webhooks.event_store.rejections import event_not_found
from services.webhooks.service import service
from shared.persistence.unit_of_work import UnitOfWork
from tallystick.messages import webhooks as m


@service.command(m.RecordOutcome)
async def record_outcome(work: UnitOfWork, command: m.RecordOutcome) -> m.OutcomeRecorded:
    """Record the outcome of an event; raise Rejected `not_found`."""
    state = await repository.lock_state(work.session, command.event_id)
    if state is None:
        raise event_not_found(command.event_id)
    changed = apply_report(state, command.status, attempt=command.attempt, error=command.error)
    if changed is not None:
        await repository.save_state(work.session, command.event_id, changed)
    return m.OutcomeRecorded(event_id=command.event_id, status=(changed or state).status)
