"""Access rules: accepted Host headers and origins of web pages."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Access:
    """Accepted Host and Origin headers.

    Attributes
    ----------
    hosts : accepted names in Host headers, without a port; empty for any. They protect against DNS rebinding, where a
        page's name is made to point to this computer
    origins : origins of other web pages that may send requests, such as ``https://images.example.com``

    Examples
    --------
    >>> access = Access(("localhost",))
    >>> access.knows("LOCALHOST:8080"), access.knows("rebound.example")
    (True, False)
    >>> access.takes("http://localhost:8080", "localhost:8080"), access.takes("http://other.example", "localhost:8080")
    (True, False)
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def knows(self, host: str) -> bool:
        """Return whether a Host header names this service."""
        return not self.hosts or _name(host) in self.hosts

    def takes(self, origin: str | None, host: str) -> bool:
        """Return whether a page of this origin, None without a page, may send requests to the service at ``host``."""
        if origin is None or origin in self.origins:
            return True
        scheme, _, place = origin.lower().partition("://")
        default = DEFAULT_PORTS.get(scheme)
        # A proxy may have ended TLS, so the service does not know its own scheme.
        return default is not None and host.lower() in (place, f"{place}:{default}")


def access(bound: str, names: Sequence[str], origins: Sequence[str]) -> Access:
    """Return the access rules for a service that listens on an address.

    Parameters
    ----------
    bound : address or name on which it listens; empty for all addresses
    names : accepted names; if empty, those of loopback for a service on loopback, otherwise any
    origins : see `Access`

    Raises
    ------
    ValueError : a name has a port or a path, or an origin is not a scheme and a host

    Examples
    --------
    >>> access("127.0.0.1", [], []).hosts
    ('localhost', '127.0.0.1', '[::1]')
    >>> access("0.0.0.0", [], []).hosts
    ()
    """
    for name in names:
        if not name or _name(name) != name.lower() or any(each in name for each in "/@ ,"):
            raise ValueError(f"host name must have no port and no path, got {name!r}")
    for origin in origins:
        parts = urlsplit(origin)
        if origin != "null" and (
            parts.scheme not in DEFAULT_PORTS or not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}"
        ):
            raise ValueError(f"origin must be a scheme and a host such as https://images.example.com, got {origin!r}")
    if not names and _is_loopback(bound):
        names = list(dict.fromkeys((*LOOPBACK_NAMES, f"[{bound}]" if ":" in bound else bound)))
    return Access(tuple([name.lower() for name in names]), tuple([origin.lower() for origin in origins]))


def _name(host: str) -> str:
    """Return a Host header without its port, in lower case."""
    name, colon, port = host.lower().rpartition(":")
    found = name if colon and port.isdigit() and not name.endswith(":") else host.lower()
    return found.removesuffix(".")


def _is_loopback(bound: str) -> bool:
    if bound.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bound).is_loopback
    except ValueError:
        return False
