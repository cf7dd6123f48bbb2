"""TLS for NATS: enabled by a `tls://` URL; NATS_CA_FILE names the trusted certificate authorities."""

import os
import ssl
from urllib.parse import urlsplit

TLS_SCHEME = "tls"
CA_FILE_VARIABLE = "NATS_CA_FILE"
"""Environment variable with the path of a PEM file; without it the system's authorities are trusted."""


def tls_context(url: str) -> ssl.SSLContext | None:
    """Return a context that verifies the servers of a NATS URL and their host names; None without TLS.

    Raises OSError when the file of NATS_CA_FILE cannot be read or contains no certificate.
    """
    if all(urlsplit(server.strip()).scheme != TLS_SCHEME for server in url.split(",")):
        return None
    return ssl.create_default_context(cafile=os.environ.get(CA_FILE_VARIABLE) or None)
