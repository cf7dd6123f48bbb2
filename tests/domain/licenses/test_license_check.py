"""The check of license files in the licensed product: what is good, for how long, and why the rest is not."""

import hashlib
import hmac
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from tallystick import licensing
from tallystick.licensing import LicenseError, check
from tests.support.license_files import (
    CLAIMS,
    GRACE_UNTIL,
    ISSUED,
    NOT_AFTER,
    encoded,
    key_set,
    signed_file,
)

KEYS = key_set()
FILE = signed_file()
SECOND = timedelta(seconds=1)


def refusal(file: str | bytes, now: datetime = ISSUED, *, keys: Any = KEYS, **options: Any) -> str:
    """The code with which a file is refused."""
    with pytest.raises(LicenseError) as refused:
        check(file, keys, options.pop("instance_id", "host-1"), now, **options)
    return refused.value.code


@pytest.mark.parametrize(
    ("now", "status", "until"),
    [
        (ISSUED, "valid", NOT_AFTER),
        (NOT_AFTER - SECOND, "valid", NOT_AFTER),
        (NOT_AFTER, "grace", GRACE_UNTIL),
        (GRACE_UNTIL - SECOND, "grace", GRACE_UNTIL),
        (GRACE_UNTIL, "expired", GRACE_UNTIL),
        (datetime(2100, 1, 1, tzinfo=UTC), "expired", GRACE_UNTIL),
    ],
)
def test_a_file_is_valid_then_in_grace_then_expired(now: datetime, status: str, until: datetime) -> None:
    state = check(FILE, KEYS, "host-1", now, last_seen=ISSUED)
    assert (state, state.status, state.until) == (status, status, until)
    assert check(FILE.encode(), KEYS, "host-1", now) == status


def test_a_state_has_the_claims() -> None:
    license = check(FILE, KEYS, "host-1", ISSUED).license  # noqa: A001
    assert (license.license_id, license.customer, license.product) == ("lic_1", "organization_acme", "server")
    assert (license.seats, license.features) == (25, {"audit_log": None, "projects": 100})
    assert (license.issued_at, license.not_after, license.grace_until) == (ISSUED, NOT_AFTER, GRACE_UNTIL)
    assert (license.expires_at, license.sequence) == (None, 7)


def test_another_machines_file_is_refused() -> None:
    assert refusal(FILE, instance_id="host-2") == "wrong_instance"


def test_a_clock_set_back_is_noticed() -> None:
    assert refusal(FILE, ISSUED - timedelta(days=1)) == "clock_set_back"
    assert refusal(FILE, ISSUED + SECOND, last_seen=ISSUED + 2 * SECOND) == "clock_set_back"
    # Two clocks are never equal: a machine may be some minutes behind the server.
    assert check(FILE, KEYS, "host-1", ISSUED - timedelta(minutes=4)) == "valid"
    assert check(FILE, KEYS, "host-1", ISSUED + SECOND, last_seen=ISSUED + SECOND) == "valid"


def test_a_forged_field_is_refused() -> None:
    header, _, signature = FILE.split(".")
    forged = encoded(json.dumps({**CLAIMS, "seats": 1_000}).encode())
    assert refusal(f"{header}.{forged}.{signature}") == "bad_signature"


def test_a_file_signed_by_somebody_else_is_refused() -> None:
    ours = KEYS["keys"][0]["kid"]
    assert refusal(signed_file(seed="33" * 32)) == "unknown_signing_key"
    assert refusal(signed_file(seed="33" * 32, kid=ours)) == "bad_signature"
    assert refusal(FILE, keys={"keys": []}) == "unknown_signing_key"
    assert refusal(signed_file(kid=None)) == "unknown_signing_key"


def test_no_other_algorithm_is_accepted() -> None:
    payload = encoded(json.dumps(CLAIMS).encode())
    kid = KEYS["keys"][0]["kid"]
    for algorithm in ("none", "HS256", "RS256", "eddsa", None):
        header = encoded(json.dumps({"alg": algorithm, "kid": kid, "typ": licensing.TYPE}).encode())
        signed = f"{header}.{payload}".encode()
        by_public_key = hmac.new(KEYS["keys"][0]["x"].encode(), signed, hashlib.sha256).digest()
        for signature in ("", encoded(by_public_key)):
            assert refusal(f"{header}.{payload}.{signature}") == "algorithm_refused", algorithm


def test_a_token_of_another_type_is_refused() -> None:
    assert refusal(signed_file(typ="JWT")) == "type_refused"


def test_a_retired_key_is_good_until_its_files_have_ended() -> None:
    keys = key_set(expires_at=GRACE_UNTIL)
    assert check(FILE, keys, "host-1", GRACE_UNTIL - SECOND) == "grace"
    assert refusal(FILE, GRACE_UNTIL, keys=keys) == "signing_key_expired"


@pytest.mark.parametrize(
    "nonsense",
    ["", ".", "..", "a.b.c", "....", FILE + ".", "\N{SNOWMAN}", b"\xff\x00", '{"alg":"EdDSA"}', "[" * 60_000],
)
def test_nonsense_is_malformed(nonsense: str | bytes) -> None:
    assert refusal(nonsense) == "malformed"


def test_a_deeply_nested_header_is_malformed() -> None:
    assert refusal(f"{encoded(b'[' * 40_000)}.e30.e30") == "malformed"
    assert refusal(f"{encoded(b'[]')}.e30.e30") == "malformed"


def test_a_megabyte_of_nonsense_is_refused_unread() -> None:
    assert refusal("x" * 1_048_576) == "too_large"
    assert refusal(b"." * 1_048_576) == "too_large"


@pytest.mark.parametrize(
    "claims", [b"[]", b"{}", b"null", b"x", json.dumps({**CLAIMS, "not_after": 5}).encode()]
)
def test_signed_nonsense_is_malformed(claims: bytes) -> None:
    assert refusal(signed_file(claims)) == "malformed"


@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_no_changed_byte_is_ever_accepted(position: int, byte: int) -> None:
    changed = bytearray(FILE.encode())
    changed[position] = byte
    if bytes(changed) == FILE.encode():
        assert check(bytes(changed), KEYS, "host-1", ISSUED) == "valid"
    else:
        with pytest.raises(LicenseError):
            check(bytes(changed), KEYS, "host-1", ISSUED)


@pytest.mark.parametrize("position", range(len(FILE)))
def test_no_single_changed_bit_is_accepted(position: int) -> None:
    for bit in range(8):
        changed = bytearray(FILE.encode())
        changed[position] ^= 1 << bit
        with pytest.raises(LicenseError):
            check(bytes(changed), KEYS, "host-1", ISSUED)


@given(st.integers(0, len(FILE)), st.integers(0, len(FILE)), st.binary(max_size=4))
def test_no_part_is_cut_out_or_put_in(start: int, end: int, put_in: bytes) -> None:
    changed = FILE.encode()[:start] + put_in + FILE.encode()[end:]
    if changed != FILE.encode():
        with pytest.raises(LicenseError):
            check(changed, KEYS, "host-1", ISSUED)


def test_another_library_verifies_the_same_file() -> None:
    # The name `EdDSA` is what the libraries of licensed products know; RFC 9864 would rename it `Ed25519`.
    with pytest.warns(SecurityWarning):
        found = jws.deserialize_compact(FILE, OKPKey.import_key(KEYS["keys"][0]), algorithms=["EdDSA"])
    assert json.loads(found.payload) == CLAIMS
    assert KEYS["keys"][0]["kid"] == OKPKey.import_key(KEYS["keys"][0]).thumbprint()


def test_the_module_needs_cryptography_alone(tmp_path: Path) -> None:
    """Imported in place and as a copy, it loads neither pydantic nor a messaging or database library."""
    source = Path(licensing.__file__ or "")
    (tmp_path / "copied.py").write_text(source.read_text())
    for module in ("tallystick.licensing", "copied"):
        script = (
            f"import sys, {module}\n"
            "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
        )
        environment = {"PYTHONPATH": f"{source.parents[1]}:{tmp_path}", "PYTHONSAFEPATH": "1"}
        shown = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        loaded = {"pydantic", "nats", "faststream", "sqlalchemy", "orjson", "joserfc", "services", "shared"}
        assert not loaded & set(json.loads(shown.stdout.replace("'", '"'))), module
        assert "cryptography" in shown.stdout
