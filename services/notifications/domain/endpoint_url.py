"""Where webhooks may be sent: to public addresses over https, and to no machine of our own network."""

import ipaddress
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is assigned to the internet; the rest is local, or stands for addresses of IPv4."""
LOCAL_NAMES = ("localhost", ".localhost", ".local", ".internal")


def url_problem(url: str, *, allow_private: bool) -> str | None:
    """Return why an endpoint's URL is refused; None if it is not.

    The address behind a name is checked whenever a connection is made, because it can change.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if any(sign.isspace() or not sign.isprintable() for sign in url) or not parts.hostname:
        return "is not a URL"
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        return "must begin with https://"
    if parts.username is not None or parts.password is not None:
        return "must not contain a user name or password"
    if parts.fragment or port == 0:
        return "must have neither a fragment nor port 0"
    return None if allow_private else _host_problem(parts.hostname)


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody in the internet can reach."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in GLOBAL_UNICAST and ip not in NAT64:
        return False
    return all(one.is_global and not one.is_multicast for one in (ip, *_embedded(ip)))


def _host_problem(host: str) -> str | None:
    name = host.rstrip(".").lower()
    if name.endswith(LOCAL_NAMES):
        return "must not lead into a private network"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # A last part that begins with a digit makes it a short form of an IPv4 address, such as 127.1.
        is_name = "." in name and not name.rpartition(".")[2][:1].isdigit()
        return None if is_name else "must name a host of the internet"
    return None if is_public(name) else "must not lead into a private network"


def _embedded(ip: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    found: list[Address] = [
        one for one in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if one is not None
    ]
    if ip in NAT64:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return found
