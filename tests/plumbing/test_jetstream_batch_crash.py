"""Republishing to a bucket ends with the newest value, even if the server crashed in between."""

import nats
from nats.aio.client import Client

from sandbox.managed_process import Child
from sandbox.nats import Nats
from shared.messaging.jetstream_batch import Message, publish_all
from shared.operations.jetstream_layout import apply_layout, load_layout
from shared.operations.provision import LAYOUT_PATH
from tallystick.subjects import ENTITLEMENTS_BUCKET, kv_subject
from tests.support.servers import embedded_nats

KEY = "user_1.projects"
STREAM, SUBJECT = f"KV_{ENTITLEMENTS_BUCKET}", kv_subject(ENTITLEMENTS_BUCKET, KEY)
PUT = Message("msg_1", STREAM, SUBJECT, {}, b"{}")
DELETE = Message("msg_2", STREAM, SUBJECT, {"KV-Operation": "DEL"}, b"")


async def connected(server: Nats) -> Client:
    return await nats.connect(server.url("admin"), inbox_prefix=b"_INBOX_admin")


async def published(server: Nats, *messages: Message) -> dict[str, str]:
    """Publish, and see the headers of what the bucket holds last."""
    client = await connected(server)
    try:
        await publish_all(client, messages)
        last = await client.jetstream().get_last_msg(STREAM, SUBJECT)
        return dict(last.headers or {})
    finally:
        await client.close()


async def test_a_window_republished_after_a_crash_ends_newest() -> None:
    with embedded_nats() as (server, first):
        client = await connected(server)
        layout = load_layout(LAYOUT_PATH, prefix="billing", webhook_subject="tunnel.webhooks")
        await apply_layout(client, layout)
        await client.close()
        assert (await published(server, PUT, DELETE))["KV-Operation"] == "DEL"
        first.kill()
        second: Child = server.start(server.store.parent / "log")
        try:
            assert (await published(server, PUT, DELETE)).get("KV-Operation") == "DEL"
        finally:
            second.stop()
