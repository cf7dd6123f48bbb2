"""The guides list the settings, Stripe event types, files and commands that exist."""

import re
from pathlib import Path

import pytest

from sandbox.nats import password_variable, users
from shared.operations import provision
from shared.persistence.migrations import ROOT, service_names
from tallystick.client.tls import CA_FILE_VARIABLE
from tallystick.messages.webhooks import APPLIED_EVENT_TYPES
from tests.support.settings import setting_names

GUIDES = ROOT / "docs" / "guides"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "services").glob("*/README.md")),
]


def listed_settings() -> set[str]:
    """The names in the first cells of the tables under `## Settings`."""
    text = (GUIDES / "operations.md").read_text()
    section = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}


def test_every_setting_is_listed_and_no_other() -> None:
    configuration = "".join((ROOT / "deploy" / name).read_text() for name in ("nats.conf", "nats-tls.conf"))
    server = set(re.findall(r"\$(NATS_\w+)", configuration))
    assert {password_variable(user) for user in users()} <= server
    roles = {provision.password_variable(service) for service in service_names()}
    assert listed_settings() == setting_names() | roles | server | {
        "NATS_MONITOR_URL",
        provision.REPLICAS,
        CA_FILE_VARIABLE,
    }


def test_the_guide_lists_exactly_the_applied_stripe_events() -> None:
    listed = re.findall(r"^[a-z_]+(?:\.[a-z_]+)+$", (GUIDES / "stripe.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(APPLIED_EVENT_TYPES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", page.read_text())
    for target in (first or second for first, second in targets):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    shown = set(re.findall(r"\./dev ([a-z][a-z-]*)", page.read_text()))
    known = set(re.findall(r"[a-z-]+", " ".join(re.findall(r"^([a-z-][a-z| -]*)\)", _dev(), re.MULTILINE))))
    assert shown <= known, f"{shown - known} of {known}"


def _dev() -> str:
    return (ROOT / "dev").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    folders = "services|shared|tallystick|sandbox|tests|deploy|docs|catalogs|examples"
    named = re.findall(rf"[`\s]((?:{folders})/[\w./-]*\w)[`\s]", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
