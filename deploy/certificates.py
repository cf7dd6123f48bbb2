"""Creates a certificate authority and a certificate for each server: TLS for Postgres and NATS.

    python deploy/certificates.py DIRECTORY --server postgres:999 --server nats

Writes `authority/ca.key` and `ca.pem`, `<server>/server.key` and `server.pem` for each server, and
`clients/ca.pem`, which is all that a client needs. A server's key is owned by the user id after the colon.
Existing files are kept, unless a certificate expires soon, is for other names, or is of another authority.
"""

import argparse
import ipaddress
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3_650
"""A new authority has to be distributed to every client, so it lasts for ten years."""
SERVER_DAYS = 365
RENEWED_BEFORE = timedelta(days=60)
"""How long before its expiry a certificate is renewed; the script runs at each deployment."""
CLOCK_SKEW = timedelta(hours=1)
"""A certificate is valid from a little before its creation, for machines whose clocks are behind."""
LOCAL_NAMES = ("localhost", "127.0.0.1")
"""Names of the ports that docker-compose publishes on this machine."""
KEY_MODE, PUBLIC_MODE = 0o600, 0o644


def main() -> None:
    """Create the certificates that are missing or expire soon."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--server", action="append", required=True, help="its host name, perhaps :user id")
    options = parser.parse_args()
    for line in make(options.directory, options.server):
        sys.stdout.write(f"{line}\n")


def make(directory: Path, servers: list[str], *, now: datetime | None = None) -> list[str]:
    """Create the certificates that are missing or expire soon; return a line of text for each."""
    now = now or datetime.now(UTC)
    key, authority, line = _authority(directory / "authority", now)
    _write(directory / "clients" / "ca.pem", _pem(authority), PUBLIC_MODE)
    lines = [line]
    for server in servers:
        host, _, owner = server.partition(":")
        lines.append(_server(directory / host, host, int(owner) if owner else None, key, authority, now))
    return lines


def _authority(directory: Path, now: datetime) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate, str]:
    key_file, certificate_file = directory / "ca.key", directory / "ca.pem"
    if key_file.exists() and certificate_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if isinstance(key, ec.EllipticCurvePrivateKey) and _lasts_long_enough(certificate, now):
            return key, certificate, f"authority: kept until {certificate.not_valid_after_utc:%Y-%m-%d}"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Tallystick {now:%Y-%m-%d}")])
    builder = _certificate(name, name, key, now, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    _write(key_file, _private_pem(key), KEY_MODE)
    _write(certificate_file, _pem(certificate), PUBLIC_MODE)
    return key, certificate, f"authority: made, until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _server(
    directory: Path,
    host: str,
    owner: int | None,
    authority_key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    now: datetime,
) -> str:
    names = x509.SubjectAlternativeName([_general_name(name) for name in (host, *LOCAL_NAMES)])
    certificate_file, key_file = directory / "server.pem", directory / "server.key"
    if certificate_file.exists() and key_file.exists():
        kept = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if (
            _lasts_long_enough(kept, now)
            and _is_issued_by(kept, authority)
            and _alternative_names(kept) == names
        ):
            return f"{host}: kept until {kept.not_valid_after_utc:%Y-%m-%d}"
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = _certificate(subject, authority.subject, key, now, SERVER_DAYS)
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
    )
    certificate = builder.sign(authority_key, hashes.SHA256())
    _write(key_file, _private_pem(key), KEY_MODE, owner)
    _write(certificate_file, _pem(certificate), PUBLIC_MODE)
    return f"{host}: made, until {certificate.not_valid_after_utc:%Y-%m-%d}; restart {host}"


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _lasts_long_enough(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc > now + RENEWED_BEFORE


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int, owner: int | None = None) -> None:
    """Write a file atomically, so that a server that starts meanwhile reads the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, mode)
        if owner is not None:
            os.fchown(handle, owner, -1)
        file.write(content)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
