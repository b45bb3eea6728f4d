"""What a request must look like to be let in: pure rules over its head, so that each can be tried without a network.

Three kinds of strangers are kept out: pages of other sites that the user's browser has open (Host, Origin,
Sec-Fetch-Site, and a content type that no form can send), other machines without the token, and clients that want files
by names that are none (paths).
"""

import hmac
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs

from spikemba.errors import SpikeMbaError

Header = tuple[bytes, bytes]

LONGEST_TARGET = 8192
"""Bytes of a path with its query."""
JSON_BYTES = 64 * 1024
"""What a request's JSON may weigh."""
HEAD_BYTES, HEAD_LINES = 16 * 1024, 100
"""What a request's headers may weigh, and how many they may be."""
LISTS = (b"/api/questions", b"/api/exports")
LIST_BYTES = 1024 * 1024
"""What it may weigh where it names videos: ten thousand ids have less."""
PART_BYTES = 8 * 1024 * 1024
"""What one part of an upload may weigh."""
CONTENT_TYPES = {"POST": "application/json", "PUT": "application/octet-stream"}
"""No form of another page can send them without the browser asking first, which is answered with 405."""
METHODS = ("GET", "HEAD", *CONTENT_TYPES)

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9][a-z0-9._-]{0,253}))(?::(?P<port>[0-9]{1,5}))?")
_RANGE = re.compile(r"bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})?|-[0-9]{1,18})")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WILDCARDS = ("0.0.0.0", "::")
_DEFAULT_PORTS = (80, 443)  # a browser leaves them out


class AccessError(SpikeMbaError):
    """The server cannot be opened to the names that were asked for."""


@dataclass(frozen=True)
class Head:
    """A request before its body."""

    method: str
    path: bytes
    """As it was sent, percent signs and all, without the query."""
    query: bytes
    headers: tuple[Header, ...]
    """Names in lower case."""
    client: str
    """Address of who asks; empty where it is not known."""
    here: tuple[str, int]
    """Address and port of this machine that the connection came to."""
    version: str = "1.1"
    """Of HTTP."""

    def all_of(self, name: str) -> list[str]:
        """The values of a header, one for each time that it was sent."""
        return [value.decode("latin-1") for key, value in self.headers if key == name.encode()]


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in."""

    status: int
    line: str
    """What is wrong, the value seen, what was expected, what mends it."""
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Access:
    """Who may ask: under which names, and with which token."""

    names: frozenset[tuple[str, int | None]] = frozenset((name, None) for name in _LOOPBACK)
    """Host names and addresses that a request may name, each with its port; None is the port that is listened on."""
    token: str | None = field(default=None, repr=False)
    """What everybody has to bring; None on loopback, where only programs of this machine can ask."""

    @classmethod
    def on(cls, host: str, also: tuple[str, ...] = (), token: str | None = None) -> "Access":
        """The access to a server that listens on a host.

        host: a name or an address; 0.0.0.0 and :: are all addresses of this machine.  also: further names under which
        it is asked, with a port where it is another one than is listened on, as behind a proxy or a tunnel.
        token: for a host that other machines reach; see `needs_token`.
        Raises AccessError for a name that is none, and where a token is needed and missing.
        """
        if needs_token(host, also) and not token:
            raise AccessError(
                f"{', '.join((host, *also))} can be reached by other machines, which need a token; got none"
            )
        names: set[tuple[str, int | None]] = {(name, None) for name in _LOOPBACK}
        if host in _WILDCARDS:
            own = socket.gethostname().lower()
            names |= {(own, None), (own.partition(".")[0], None), (own.partition(".")[0] + ".local", None)}
        for given in (() if host in _WILDCARDS else (bracketed(host),)) + also:
            parsed = parse_host(given)
            if parsed is None:
                raise AccessError(f"{given!r} is no name of a host; expected NAME or NAME:PORT, as in an address")
            names.add(parsed)
        return cls(frozenset(names), token)


def needs_token(host: str, also: tuple[str, ...] = ()) -> bool:
    """Whether other machines can reach a server that listens on a host, or is asked under other names, too.

    A name of another machine in front of a server on loopback is that of a proxy, which lets in whom it likes.
    """
    names = [parsed[0] for parsed in map(parse_host, also) if parsed] + [host.strip("[]")]
    return not all(map(_is_loopback, names))


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def parse_host(text: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header, the port None where it has none; None for what is no such header."""
    found = _HOST.fullmatch(text.lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else None
    name = found["name"] or found["six"]
    if found["six"]:
        try:
            name = _plain_address(name)
        except ValueError:
            return None
    return None if port is not None and not 0 < port < 65536 else (name, port)


def _plain_address(text: str) -> str:
    """An address in its one usual form. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def refused(head: Head, access: Access) -> Refusal | None:
    """The first reason not to let a request in, its token aside; None for one that may go on."""
    for rule in (_version, _weight, _method, _path, _host, _other_sites, _content, _range):
        if refusal := rule(head, access):
            return refusal
    return None


def body_limit(head: Head) -> int:
    """Bytes that the request's body may have."""
    limits = {"POST": LIST_BYTES if head.path in LISTS else JSON_BYTES, "PUT": PART_BYTES}
    return limits.get(head.method, 0)


def _version(head: Head, _: Access) -> Refusal | None:
    if head.version in ("1.0", "1.1"):
        return None
    return Refusal(400, f"HTTP/{head.version} is not spoken here; expected HTTP/1.1")


def _weight(head: Head, _: Access) -> Refusal | None:
    n_bytes = sum(len(name) + len(value) for name, value in head.headers)
    if n_bytes <= HEAD_BYTES and len(head.headers) <= HEAD_LINES:
        return None
    return Refusal(431, f"the request has {len(head.headers)} headers of {n_bytes} bytes; send fewer")


def _path(head: Head, _: Access) -> Refusal | None:
    """Only paths that mean one thing to everybody."""
    if len(head.path) + len(head.query) > LONGEST_TARGET:
        return Refusal(414, f"the address has more than {LONGEST_TARGET} bytes; ask for less at once")
    problem = path_problem(head.path)
    if problem is None:
        return None
    return Refusal(400, f"the path {problem}; expected one that /api/openapi.json lists")


def path_problem(raw: bytes) -> str | None:
    """What is wrong with a path as it was sent; None for one that is fine.

    The addresses here are made of letters, digits and `-._~`, ids of videos among them, so nothing needs an escape, and
    what has one is meant to be read as something else later on.
    """
    if not raw.startswith(b"/"):
        return "does not begin with a slash"
    if b"%" in raw:
        return "has escapes, which none of this server's has"
    if not re.fullmatch(rb"[A-Za-z0-9._~/-]+", raw):
        return "has characters that none of this server's has"
    if any(part in (b"", b".", b"..") for part in raw.split(b"/")[1:-1]) or raw.endswith((b"/.", b"/..")):
        return "leads upwards or has an empty part"
    return None


def _host(head: Head, access: Access) -> Refusal | None:
    """The name that the request was sent to is ours: another one that leads here would make strangers same-origin."""
    given = head.all_of("host")
    parsed = parse_host(given[0]) if len(given) == 1 else None
    if parsed is None:
        return Refusal(400, f"expected one Host header, as 127.0.0.1:{head.here[1]}; got {_shown(given)}")
    name, port = parsed
    known = {known_port or head.here[1] for known_name, known_port in access.names if known_name == name}
    if name == _own_address(head):
        known.add(head.here[1])
    if (port in known) if port else known & {*_DEFAULT_PORTS}:
        return None
    cure = f"start the server with --known-as {given[0]} if this is its name"
    return Refusal(421, f"this server is not called {given[0]}; {cure}")


def _own_address(head: Head) -> str | None:
    """The address of this machine that was asked: a name that leads here can be anybody's, an address cannot."""
    try:
        return _plain_address(head.here[0])
    except ValueError:
        return None


def _method(head: Head, _: Access) -> Refusal | None:
    if head.method in METHODS:
        return None
    allowed = ", ".join(METHODS)
    line = f"{_shown([head.method])} is not answered here; expected {allowed}"
    return Refusal(405, line, ((b"allow", allowed.encode()),))


def _other_sites(head: Head, _: Access) -> Refusal | None:
    """A browser says which page a request comes from: only ours may ask, and links of others may open the page."""
    origins = head.all_of("origin")
    (host,) = head.all_of("host")
    own = [f"{scheme}://{host}".lower() for scheme in ("http", "https")]
    if origins and (len(origins) > 1 or origins[0].lower() not in own):
        line = f"requests of other pages are not answered; expected Origin {own[0]}, got {_shown(origins)}"
        return Refusal(403, line)
    sites = head.all_of("sec-fetch-site")
    if not sites or (len(sites) == 1 and sites[0] in ("same-origin", "none")):
        return None
    way = (head.all_of("sec-fetch-mode"), head.all_of("sec-fetch-dest"))
    if head.method == "GET" and head.path == b"/" and way == (["navigate"], ["document"]):
        return None
    line = f"requests of other pages are not answered (Sec-Fetch-Site: {_shown(sites)}); open http://{host}/"
    return Refusal(403, line)


def from_another_site(head: Head) -> bool:
    """Whether a link of another page led here."""
    return head.all_of("sec-fetch-site") not in ([], ["same-origin"], ["none"])


def _content(head: Head, _: Access) -> Refusal | None:
    lengths, codings = head.all_of("content-length"), head.all_of("transfer-encoding")
    if len(lengths) > 1 or (lengths and codings):
        return Refusal(400, "the length of the body is given in two ways; expected Content-Length or chunks")
    length = int(lengths[0]) if lengths and re.fullmatch("[0-9]{1,20}", lengths[0]) else 0
    if head.method not in CONTENT_TYPES:
        return Refusal(400, f"a {head.method} has no body; leave it out") if length or codings else None
    expected, given = CONTENT_TYPES[head.method], head.all_of("content-type")
    if len(given) != 1 or _media_type(given[0]) != expected:
        return Refusal(415, f"expected Content-Type: {expected}; got {_shown(given)}")
    return too_large(body_limit(head)) if length > body_limit(head) else None


def too_large(limit: int) -> Refusal:
    """The refusal of a body over its limit, in bytes."""
    return Refusal(413, f"the body has more than {limit} bytes; send less at once")


def _media_type(text: str) -> str | None:
    """A content type without its character set, where that is UTF-8; None for another one."""
    kind, _, rest = text.partition(";")
    charset = rest.strip().lower().replace('"', "")
    return kind.strip().lower() if charset in ("", "charset=utf-8") else None


def _range(head: Head, _: Access) -> Refusal | None:
    """One range of bytes at a time: thousands in a request would make one answer as large as thousands."""
    given = head.all_of("range")
    if not given:
        return None
    found = _RANGE.fullmatch(given[0]) if len(given) == 1 else None
    if found and (found["last"] is None or int(found["first"]) <= int(found["last"])):
        return None
    return Refusal(416, f"expected one range, as bytes=0-1023, bytes=1024- or bytes=-1024; got {_shown(given)}")


Claim = Literal["right", "wrong", "none"]
"""What a request has brought as its token."""


def claim(head: Head, token: str, cookie: str) -> tuple[Claim, bool]:
    """What the request brings for a token, and whether it does so in the address, which a cookie has to replace.

    cookie: the name of ours. What is in the address counts first: a cookie may be left from an earlier server.
    """
    if head.path == b"/" and head.method in ("GET", "HEAD"):
        asked = parse_qs(head.query.decode("latin-1"), keep_blank_values=True, max_num_fields=None).get("token", [])
        if asked:
            return ("right" if len(asked) == 1 and same(asked[0], token) else "wrong"), True
    brought = [text.partition(" ")[2].strip() for text in head.all_of("authorization") if text[:7].lower() == "bearer "]
    pairs = [one.strip().partition("=") for text in head.all_of("cookie") for one in text.split(";")]
    brought += [value for name, _, value in pairs if name == cookie]
    if not brought:
        return "none", False
    return ("right" if any(same(one, token) for one in brought) else "wrong"), False


def same(given: str, token: str) -> bool:
    """Whether two tokens are equal, in a time that does not tell how far."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _shown(values: list[str]) -> str:
    """Values out of headers for a line of text: short, ASCII, and `none` where there are none."""
    return ", ".join(ascii(one[:80]) for one in values[:3]) or "none"
