"""TLS to NATS: asked for by a URL that begins with `tls://`; NATS_CA_FILE names the authorities to trust."""

import os
import ssl
from urllib.parse import urlsplit

TLS_SCHEME = "tls"
CA_FILE_VARIABLE = "NATS_CA_FILE"
"""The environment variable with a PEM file of authorities; without it those count that the system trusts."""


def tls_context(url: str) -> ssl.SSLContext | None:
    """What verifies the servers of a NATS URL, their host names too; None where it asks for no TLS.

    Raises OSError when the file of NATS_CA_FILE cannot be read or holds no certificate.
    """
    if all(urlsplit(server.strip()).scheme != TLS_SCHEME for server in url.split(",")):
        return None
    return ssl.create_default_context(cafile=os.environ.get(CA_FILE_VARIABLE) or None)
