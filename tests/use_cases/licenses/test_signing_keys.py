"""Signing keys: read from the setting, published before they sign, rotated without an interruption."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.licenses.app import service
from services.licenses.signing.signing_keys import SigningKeys
from tallystick import licensing
from tallystick.messages import licenses as m
from tests.support.runtime import Bound
from tests.support.worlds.licenses import FIRST_SIGNING_KEY, SECOND_SIGNING_KEY, LicenseWorld, provided

BOTH = f"{FIRST_SIGNING_KEY},{SECOND_SIGNING_KEY}"


@pytest.fixture
async def rotating(bind: Callable[..., Bound]) -> LicenseWorld:
    """The service with a second key in its setting."""
    world = LicenseWorld(bind(service, *provided(BOTH)))
    await world.hears_product()
    return world


def pem(private: Any) -> str:
    """A private key as PEM."""
    encoded: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return encoded.decode()


def test_a_key_may_be_hexadecimal_a_pem_or_a_file(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(FIRST_SIGNING_KEY))
    (tmp_path / "key").write_text(FIRST_SIGNING_KEY + "\n")
    kids = {
        next(iter(SigningKeys.of(setting).pairs))
        for setting in (FIRST_SIGNING_KEY, pem(private), str(tmp_path / "key"))
    }
    assert len(kids) == 1
    assert len(SigningKeys.of(BOTH).pairs) == 2


@pytest.mark.parametrize(
    "setting", [None, "", " , ", "11" * 31, "zz" * 32, "/nowhere/key", "-----BEGIN", "rsa"]
)
def test_another_setting_is_refused_without_quoting_it(setting: str | None) -> None:
    value = pem(generate_private_key(65537, 2048)) if setting == "rsa" else setting
    with pytest.raises(ValueError, match="LICENSE_SIGNING_KEY must have") as refused:
        SigningKeys.of(value)
    assert not value or value.strip(" ,") == "" or value not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


async def test_keys_are_published_before_they_sign(rotating: LicenseWorld) -> None:
    keys = (await rotating.asks(m.ListSigningKeys()))["keys"]
    assert [(key["status"], key["expires_at"]) for key in keys] == [("next", None), ("next", None)]
    _, key = await rotating.issued()
    await rotating.does(rotating.activate(key))
    assert [one["status"] for one in (await rotating.asks(m.ListSigningKeys()))["keys"]] == ["active", "next"]


async def test_a_rotation_interrupts_nothing(rotating: LicenseWorld) -> None:
    shipped = await rotating.key_set()
    _, key = await rotating.issued()
    old = (await rotating.does(rotating.activate(key)))["license_file"]
    rotating.passes(days=1)
    command = m.RotateSigningKey(command_id="rotate")
    keys = (await rotating.does(command))["keys"]
    assert [one["status"] for one in keys] == ["active", "retired"]
    assert (await rotating.does(command))["keys"] == keys
    new = (await rotating.does(rotating.refresh(key)))["license_file"]
    # A product that was shipped before the rotation has both keys, and accepts both files.
    assert licensing.check(old, shipped, "host-1", rotating.now) == "valid"
    assert licensing.check(new, shipped, "host-1", rotating.now) == "valid"
    assert await rotating.checks(old) == "valid"
    rotating.passes(days=42)
    assert await rotating.checks(old) == "grace"
    rotating.passes(days=4)
    with pytest.raises(licensing.LicenseError, match="signing_key_expired"):
        await rotating.checks(old)
    assert await rotating.checks(new) == "expired"
    assert (await rotating.refuses(m.RotateSigningKey(command_id="again")))[0] == "no_next_signing_key"


async def test_a_rotation_before_the_first_file_takes_the_second_key(rotating: LicenseWorld) -> None:
    kids = [key["kid"] for key in (await rotating.asks(m.ListSigningKeys()))["keys"]]
    keys = (await rotating.does(m.RotateSigningKey(command_id="rotate")))["keys"]
    assert [(key["kid"], key["status"]) for key in keys] == [(kids[1], "active"), (kids[0], "next")]


async def test_a_worker_without_the_active_key_signs_nothing(
    rotating: LicenseWorld, bind: Callable[..., Bound]
) -> None:
    _, key = await rotating.issued()
    await rotating.does(rotating.activate(key))
    await rotating.does(m.RotateSigningKey(command_id="rotate"))
    late = LicenseWorld(bind(service, *provided()))
    command = m.RefreshLicense(command_id="refresh", license_key=key, instance_id="host-1")
    assert (await late.bound.handle(command)).status == "failed", "it comes again, to another worker"
    assert (await rotating.bound.handle(command)).status == "succeeded"


async def test_two_first_files_at_once_agree_on_the_key(rotating: LicenseWorld) -> None:
    keys = [(await rotating.issued())[1] for _ in range(4)]
    commands = [rotating.activate(key) for key in keys]
    outcomes = await asyncio.gather(*(rotating.bound.handle(one, rotating.now) for one in commands))
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    assert await rotating.bound.rows("SELECT count(*) FROM licenses.signing_keys") == [{"count": 1}]


async def test_a_key_is_only_good_for_its_own_time(rotating: LicenseWorld) -> None:
    _, key = await rotating.issued()
    await rotating.does(rotating.activate(key))
    keys = (await rotating.does(m.RotateSigningKey(command_id="rotate")))["keys"]
    retired = m.SigningKey.model_validate(keys[1], strict=False)
    assert retired.retired_at == rotating.now
    assert retired.expires_at == rotating.now + timedelta(days=45)
