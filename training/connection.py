"""Connections to public addresses only: whoever names a URL does not reach what only the cluster reaches."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection

from training.sources import DownloadError

#: Addresses that only some networks know, and that Python takes for public ones: of Azure's and Oracle's metadata, of
#: relays, and of IPv6 as it once was.
_ALSO: Final = tuple(
    ipaddress.ip_network(it) for it in ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "fec0::/10")
)
#: IPv6 addresses that lead to the IPv4 address in their last 32 bits.
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def refused(address: str) -> bool:
    """Whether this IP address, as text, is not one of the public Internet."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address) and (inside := _leads_to(found)) is not None:
        found = inside
    return (
        not found.is_global
        or found.is_multicast
        or found.is_reserved
        or any(found.version == network.version and found in network for network in _ALSO)
    )


def _leads_to(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def session(*, allow_private: bool) -> requests.Session:
    """One that takes nothing from the environment but whom to trust: no proxy, no password."""
    made = requests.Session()
    made.trust_env = False
    made.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    made.headers.update({"User-Agent": "kaito", "Accept-Encoding": "identity"})
    if not allow_private:
        for scheme in ("http://", "https://"):
            made.mount(scheme, _Guarded())
    return made


def _connected(connection: HTTPConnection) -> socket.socket:
    """To the address that was looked at: the name is looked up once. Raises OSError, and DownloadError."""
    host, port = connection.host.strip("[]"), connection.port
    trouble = OSError(0, f"{host} has no address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise DownloadError(f"{host} is no name of a host: correct the URL.", permanent=True) from error
    for *_, where in found:
        address = str(where[0])
        if refused(address):
            raise DownloadError(
                f"{host} is at {address}, which is no public address: give a URL on the Internet,"
                " or allow private addresses (--allow-private).",
                permanent=True,
            )
        try:
            return create_connection((address, port), connection.timeout, None, connection.socket_options)
        except OSError as error:
            trouble = error
    raise trouble


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _Secure(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class _Guarded(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
