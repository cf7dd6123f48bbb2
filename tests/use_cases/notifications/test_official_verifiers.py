"""The official libraries of Standard Webhooks accept what is sent: in Python, and in Node where it is
there."""

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tallystick.messages import notifications as m
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worlds.notifications import NotificationsWorld

PACKAGE = Path(__file__).parents[2] / "support" / "node"
INSTALL_SECONDS = 50
SCRIPT = """
const {Webhook} = require("standardwebhooks");
const {secret, body, headers} = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(new Webhook(secret).verify(body, headers).type);
"""


@pytest.fixture
async def delivered(
    mails: NotificationsWorld, receiver: WebhookReceiver
) -> tuple[str, str, dict[str, str], str]:
    """The old and the new secret, the headers and the body of a webhook that is sent now."""
    mails.now = mails.bound.now = datetime.now(UTC)
    create = m.CreateEndpoint(command_id="create-1", url=receiver.url(), events=["seat.*"])
    created = await mails.does(create)
    rotate = m.RotateEndpointSecret(command_id="rotate", endpoint_id=created["endpoint"]["endpoint_id"])
    rotated = await mails.does(rotate)
    event = mails.seat(metadata={"name": 'Zoë «\u2028» \\ "quoted" 😀'})
    await mails.happens(event, "assigned")
    await mails.delivers()
    (webhook,) = receiver.received
    return created["secret"], rotated["secret"], webhook.headers, webhook.body.decode()


async def test_python_accepts_both_secrets(delivered: tuple[str, str, dict[str, str], str]) -> None:
    old, new, headers, body = delivered
    for secret in (old, new):
        assert Webhook(secret).verify(body, headers)["type"] == "seat.assigned"
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body.replace("assigned", "claimed"), headers)


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library for Node, installed from its lock file where Node and its registry are there."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs Node and npm")
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGE / name, directory)
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer")
    if done.returncode:
        pytest.skip(f"npm could not install standardwebhooks: {done.stderr[-200:]}")
    return directory / "node_modules"


async def test_node_accepts_both_secrets(
    delivered: tuple[str, str, dict[str, str], str], node_modules: Path
) -> None:
    old, new, headers, body = delivered
    for secret in (old, new):
        given = json.dumps({"secret": secret, "body": body, "headers": headers})
        environment = {**os.environ, "NODE_PATH": str(node_modules)}
        told = subprocess.run(  # noqa: ASYNC221
            ["node", "-e", SCRIPT], input=given, capture_output=True, text=True, env=environment, timeout=20
        )
        assert told.stdout.strip() == "seat.assigned", told.stderr
