"""How often an address may bring a wrong token."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

WRONG_ONES, MINUTE_S = 20, 60.0
"""Wrong tokens of one address, and the seconds in which they are counted."""
ADDRESSES = 1024
"""Addresses that are remembered at once; the one that was quiet longest is forgotten first."""


class WrongTokens:
    """Counts of wrong tokens; a right one is let in whatever the count, so that no stranger can lock a person out.

    A token of 256 random bits is not found by trying; what this bounds is the work that trying makes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, client: str) -> int:
        """Count one more; returns the seconds to wait where there were too many, else 0."""
        now, place = self._clock(), _network(client)
        since, n = self._counts.pop(place, (now, 0))
        if now - since >= MINUTE_S:
            since, n = now, 0
        self._counts[place] = since, n + 1
        while len(self._counts) > ADDRESSES:
            self._counts.popitem(last=False)
        return max(1, round(since + MINUTE_S - now)) if n >= WRONG_ONES else 0


def _network(client: str) -> str:
    """What one person has of addresses: of IPv6 a whole network."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
    return str(address)
