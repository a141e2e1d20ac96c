"""Who is logged in already, as the web server or a proxy in front of it says."""

import re
from collections.abc import Iterable, MutableMapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

_VARIABLE = "REMOTE_USER"
# What Apache makes of a variable that is not set, in RequestHeader set X-Forwarded-User %{...}e.
_NOBODY = "(null)"
_HEADER = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII | re.IGNORECASE)
_SOCKET = "unix"
_BITS_BEFORE_MAPPED = 96
# A network that is no list would be taken for its addresses, one by one.
_ADDRESSES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)
# What servers say of one that came by a socket in the file system; waitress says the last.
_OF_A_SOCKET = {"", "localhost"}


class RemoteUser:
    """Where the user's id is in a request, and from whom it is believed.

    :param remote_user: as for `~repoze.what.middleware.setup_auth`.
    :param trusted_proxies: likewise.
    :raises ValueError: if they make no sense.
    """

    def __init__(self, remote_user: str, trusted_proxies: str | Iterable[str] | None) -> None:
        if isinstance(trusted_proxies, (str, *_ADDRESSES)):
            trusted_proxies = str(trusted_proxies).replace(",", " ").split()
        proxies = list(trusted_proxies or ())
        self._is_header = remote_user != _VARIABLE
        if self._is_header and not _HEADER.fullmatch(remote_user):
            raise ValueError(
                "remote_user is neither REMOTE_USER nor the name of a header, such as "
                "X-Forwarded-User"
            )
        if self._is_header and not proxies:
            raise ValueError(
                f"trusted_proxies is missing: anybody can send {remote_user}, so say by the "
                "addresses of your proxies from whom it is believed"
            )
        if proxies and not self._is_header:
            raise ValueError(
                "trusted_proxies is for a header: REMOTE_USER is the web server's own word"
            )
        key = "HTTP_" + remote_user.upper().replace("-", "_")
        self._key = key if self._is_header else _VARIABLE
        self._from_socket = _SOCKET in proxies
        self._networks = [_network(proxy) for proxy in proxies if proxy != _SOCKET]

    def take(self, environ: MutableMapping[str, Any]) -> str | None:
        """Remove the user's id from *environ*, and return it if it is believed."""
        said = environ.pop(self._key, None)
        if not said or (self._is_header and not self._is_trusted(environ.get("REMOTE_ADDR") or "")):
            return None
        # Servers join what is sent twice with a comma.
        if self._is_header and "," in said:
            return None
        try:
            user_id: str = said.encode("latin-1").decode()
        except UnicodeError:
            return None
        if user_id == _NOBODY or not user_id.strip() or not user_id.isprintable():
            return None
        return user_id

    def _is_trusted(self, address: str) -> bool:
        if address in _OF_A_SOCKET:
            return self._from_socket
        try:
            found = ip_address(address)
        except ValueError:
            return False
        # A server that listens on IPv6 has those of IPv4 so, too.
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        # To it, a number is an address as well.
        return _unmapped(ip_network(str(text)))
    except ValueError:
        raise ValueError(
            "trusted_proxies are addresses, networks that begin with their first address, or unix, "
            "as in 127.0.0.1 10.0.0.0/8"
        ) from None


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    # What a server that listens on IPv6 logs of IPv4: that is compared as what it is.
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _BITS_BEFORE_MAPPED:
        return network
    return IPv4Network((mapped, network.prefixlen - _BITS_BEFORE_MAPPED))
