"""The service canvases match the code, and the code matches the NATS permissions."""

from pathlib import Path

import pytest

from services.webhooks.service import service as webhooks
from shared.messaging.service import Service
from shared.operations import canvas
from shared.persistence.migrations import ROOT
from tallystick.subjects import Subjects

SERVICES = canvas.services()


def names(found: list[Service]) -> list[str]:
    return [service.name for service in found]


def test_every_worker_has_a_canvas() -> None:
    workers = {path.parent.name for path in (ROOT / "services").glob("*/app.py")}
    assert set(names(SERVICES)) == workers - {"gateway"}, "only the gateway takes no commands"
    assert {"subscriptions", "webhooks"} <= set(names(SERVICES))


@pytest.mark.parametrize("service", SERVICES, ids=names(SERVICES))
def test_a_canvas_says_what_the_code_does(service: Service) -> None:
    text = canvas.readme(service).read_text()
    assert text == canvas.rendered(service, text), "bring it up to date: python -m shared.operations.canvas"


@pytest.mark.parametrize("service", SERVICES, ids=names(SERVICES))
def test_a_service_may_send_the_commands_it_sends(service: Service) -> None:
    subjects = Subjects()
    sent = {subjects.command(command.service, command.name) for command, _ in canvas.sent_commands(service)}
    assert sent <= set(canvas.service_subjects(service.name))


def test_a_canvas_lists_messages_jobs_streams_and_tables() -> None:
    page = canvas.canvas(webhooks)
    ingress = "BILLING_WEBHOOKS | `tunnel.incoming-webhook-events.stripe` | `nats_ingress`"
    for line in (
        "| `record_outcome` | Record the outcome of processing a stored event. "
        "For Tallystick's own services. | `not_found` |",
        "| `get_event` | Get a stored event with its payload. |",
        "| `billing.stripe_events.>` |",
        f"| `webhooks-ingress` | {ingress} |",
        "| `stripe_events` | A Stripe event with its payload. |",
    ):
        assert line in page.splitlines()


def test_what_people_wrote_around_a_canvas_stays() -> None:
    old = f"# webhooks\n\nBefore.\n\n{canvas.BEGIN}\nout of date\n{canvas.END}\n\nAfter.\n"
    new = canvas.rendered(webhooks, old)
    assert new.startswith(f"# webhooks\n\nBefore.\n\n{canvas.BEGIN}\n## Commands it takes\n")
    assert new.endswith(f"\n{canvas.END}\n\nAfter.\n")
    assert "out of date" not in new
    assert canvas.rendered(webhooks, new) == new


def test_a_command_that_cannot_be_told_from_its_call_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "services" / "webhooks" / "ingress"
    folder.mkdir(parents=True)
    (folder / "signature.py").write_text("def send(work, command):\n    work.send(command)\n")
    monkeypatch.setattr(canvas, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"signature\.py:2: name the command"):
        list(canvas.sent_commands(webhooks))
