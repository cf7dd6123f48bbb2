"""Foreign writes to a bucket are found by the audit, and `./dev replay` repairs it from the tables."""

from collections.abc import Sequence

import pytest

from shared.messaging.nats_connection import connect
from shared.operations import audit_helpers
from shared.operations.audit import audit
from shared.operations.replay import replay
from tallystick.subjects import ENTITLEMENTS_BUCKET, kv_subject
from tests.support.raw_nats import publish_raw
from tests.support.shop import Shop
from tests.support.shop_steps import subscribe_for_free
from tests.support.waiting import eventually

STARTER = {"products": 10, "orders": 10, "team_members": 1}
AUDITED = "subscriptions: the entitlements bucket equals the tables"


async def found(shop: Shop) -> Sequence[str]:
    """Return the audit's findings about the bucket."""
    stack = shop.system.stack
    violations = await audit(stack.owner_url, stack.nats.users["admin"], prefix="billing")
    return violations[AUDITED]


async def found_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Return the findings of an audit that waits only briefly for differences to go away."""
    with monkeypatch.context() as patched:
        patched.setattr(audit_helpers, "PENDING_MAX_SECONDS", audit_helpers.RETRY_SECONDS)
        return await found(shop)


async def is_true(shop: Shop) -> bool:
    """Check that clients read the plan's entitlements: 10 products, 10 orders, 1 member, no API."""
    try:
        found = {feature: await shop.bucket(feature) for feature in ("products", "orders", "team_members")}
    except ValueError:
        return False
    quantities = {feature: entry and entry["quantity"] for feature, entry in found.items()}
    return quantities == STARTER and await shop.bucket("api_access") is None


async def test_a_replay_repairs_a_bucket_that_was_tampered_with(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = shop.system.stack
    await shop.register()
    await shop.billing.call(subscribe_for_free(shop))
    await eventually(lambda: is_true(shop))
    assert await found(shop) == []

    key = shop.acme.token
    nats = await connect(stack.nats.users["admin"], "somebody")
    try:
        put = nats.jetstream().publish
        lie = b'{"allowed": true, "quantity": null, "sources": [], "expires_at": null, "version": 99}'
        await put(kv_subject(ENTITLEMENTS_BUCKET, f"{key}.products"), lie)
        await put(kv_subject(ENTITLEMENTS_BUCKET, f"{key}.orders"), b"[")
        gone = {"KV-Operation": "DEL"}
        await put(kv_subject(ENTITLEMENTS_BUCKET, f"{key}.team_members"), b"", headers=gone)
        await put(kv_subject(ENTITLEMENTS_BUCKET, f"{key}.api_access"), lie)
        await put(kv_subject(ENTITLEMENTS_BUCKET, "nobody"), b"", headers={"Status": "100"})
        said = " ".join(await found_at_once(shop, monkeypatch))
        for feature in ("products", "orders", "team_members", "api_access"):
            assert f"{key}.{feature}: the tables say" in said
        assert "nobody: the tables say" in said

        await replay(stack.owner_url, stack.nats.users["admin"], ["subscriptions"])
        assert await found(shop) == []
        await eventually(lambda: is_true(shop))
        printed = capsys.readouterr().out
        assert f"{key}.api_access' was removed: no service has put it there" in printed
        assert "billing_entitlements.nobody' was removed" in printed

        # One message with this header replaces all that a bucket holds.
        wiped = kv_subject(ENTITLEMENTS_BUCKET, f"{key}.products")
        await put(wiped, lie, headers={"Nats-Rollup": "all"})
        assert len(await found_at_once(shop, monkeypatch)) >= 3
        await replay(stack.owner_url, stack.nats.users["admin"], ["subscriptions"])
        assert await found(shop) == []
        await eventually(lambda: is_true(shop))
    finally:
        await nats.close()


async def test_an_invalid_key_is_reported_and_stops_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = shop.system.stack
    admin = stack.nats.users["admin"]
    subject = kv_subject(ENTITLEMENTS_BUCKET, "user_x.").encode() + b"\xff"
    await publish_raw(admin, (subject, b"", b"", b"{}"))
    nats = await connect(admin, "somebody")
    try:
        assert "user_x.\ufffd: the tables say None" in " ".join(await found_at_once(shop, monkeypatch))
        await replay(stack.owner_url, admin, ["seats"])
        assert "user_x.\ufffd' could not be removed" in capsys.readouterr().out
    finally:
        # Everything newer than it is put back by the relay.
        await nats.jetstream().purge_stream(f"KV_{ENTITLEMENTS_BUCKET}")
        await nats.close()
        await replay(stack.owner_url, admin, ["subscriptions"])
