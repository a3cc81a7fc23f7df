"""Why Penstock and its neighbours disagree: for each mutation, who, how, and the reason.

"served, we refuse" is the safe side and only needs a reason. "refused, we serve" needs a rule that
allows the request. Where two servers see different requests, it must not be Penstock that is wrong.
"""

from __future__ import annotations

SERVED = "served, we refuse"
REFUSED = "refused, we serve"
NUMBER = "another number of requests"
OTHER = "another request"

Explanation = tuple[str, str, str]

_LF = ("nginx", SERVED, "nginx takes LF alone for a line end; RFC 9112, 2.2 allows that, we refuse it")
_CR = ("nginx", SERVED, "nginx takes CR CR LF for a line end")
_TAIL = ("node", REFUSED, "Node answers 400 when bytes follow a request that ends the connection; we ignore them")
_TABS = ("both", REFUSED, "the whitespace around a value may be tabs (RFC 9110, 5.6.3)")
_UPGRADE = ("node", SERVED, "Node does not look into the body of a request for an upgrade")
_HOST = ("both", SERVED, "Host is not well-formed: RFC 9112, 3.2 asks for 400")
_NODE_HOST = ("node", SERVED, "Node does not look into the authority of an absolute target")
_LEADING = ("both", SERVED, "RFC 9112, 2.2 asks to ignore one empty line (CRLF); others skip any CR and LF")

# What Node 20 refuses as we do, its elder brother in Debian 12 still served.
_OLD_LF = ("node", SERVED, "Node 18 takes LF alone for a line end; RFC 9112, 2.2 allows that, we refuse it")
_OLD_FIELD = ("node", SERVED, "Node 18 takes field lines that are not valid (RFC 9112, 5.1)")
_OLD_TARGET = ("node", SERVED, "Node 18 takes any byte in a target (RFC 3986, 2 has ASCII characters only)")
_OLD_CHUNK = ("node", SERVED, "Node 18 does not look at the two bytes behind a chunk")

EXPLANATIONS: dict[str, list[Explanation]] = {
    "method: lower case": [("both", REFUSED, "methods are tokens with case (RFC 9110, 9.1): the application judges")],
    "method: unknown token": [("both", REFUSED, "any token is a method (RFC 9110, 9.1): the application judges")],
    "method: rare token characters": [("both", REFUSED, "any token is a method (RFC 9110, 9.1): the application judges")],
    "method: longer than 32": [("nginx", SERVED, "longer than any method that there is: 501 (RFC 9112, 3)")],
    "version: 1.0": [_TAIL],
    "version: higher minor": [("both", REFUSED, "a higher minor version is served as 1.1 (RFC 9110, 2.5)")],
    "version: other major": [("node", SERVED, "Node serves HTTP/2.0 and HTTP/0.9 as if they were 1.x; we answer 505")],
    "version: too many digits": [("nginx", SERVED, "a version has one digit on each side (RFC 9112, 2.3)")],
    "version: whitespace behind": [("nginx", SERVED, "the parts of a request line are separated by one space (RFC 9112, 3)")],
    "line: two spaces": [("both", SERVED, "the parts of a request line are separated by one space (RFC 9112, 3)")],
    "line: ends with LF": [_LF, _OLD_LF],
    "line: several empty lines before": [_LEADING],
    "line: LF before": [_LEADING],
    "line: CR before": [_LEADING],
    "field: ends with LF": [_LF],
    "field: ends with CR CR LF": [_CR],
    "head: ends with LF": [_LF, _OLD_LF],
    "target: absolute form": [("node", OTHER, "Node ignores that the authority replaces Host (RFC 9112, 3.2.2)")],
    "target: absolute form without a path": [("node", OTHER, "Node ignores that the authority replaces Host (RFC 9112, 3.2.2)")],
    "target: userinfo": [_NODE_HOST],
    "target: empty host": [_NODE_HOST],
    "target: malformed host": [_NODE_HOST],
    "target: another scheme": [("both", SERVED, "we serve http and https only")],
    "target: asterisk": [("node", SERVED, "* is a target of OPTIONS only (RFC 9112, 3.2.4)")],
    "target: fragment": [("both", SERVED, "a target has no fragment (RFC 9112, 3.2)")],
    "target: byte above 0x7f": [("nginx", SERVED, "a URI has ASCII characters only (RFC 3986, 2)"), _OLD_TARGET],
    "target: malformed percent-encoding": [("node", SERVED, "Node does not decode targets; PATH_INFO must be decoded")],
    "target: %00": [("node", SERVED, "Node does not decode targets; no path has a NUL")],
    "target: dot segments above the root": [("nginx", REFUSED, "nginx resolves dot segments to choose a location; we keep them")],
    "target: line longer than 4094": [("both", SERVED, "--limit-request-line")],
    "host: empty": [("nginx", REFUSED, "an empty Host is allowed (RFC 9110, 7.2)")],
    "host: two equal": [("node", SERVED, "more than one Host is 400 (RFC 9112, 3.2)")],
    "host: two unequal": [("node", SERVED, "more than one Host is 400 (RFC 9112, 3.2)")],
    "host: malformed": [_HOST],
    "host: malformed port": [_HOST],
    "host: malformed address": [_HOST],
    "host: userinfo": [_HOST],
    "host: list": [_HOST],
    "host: byte above 0x7f": [_HOST],
    "field: no colon": [("nginx", SERVED, "nginx leaves out field lines that are not valid (ignore_invalid_headers)")],
    "field: name not a token": [("nginx", SERVED, "nginx leaves out field lines that are not valid (ignore_invalid_headers)"), _OLD_FIELD],
    "field: rare token characters": [("node", REFUSED, "any token is a field name (RFC 9110, 5.1)")],
    "field: control character in a value": [("nginx", SERVED, "nginx hands on control characters (RFC 9110, 5.5 calls them invalid)")],
    "field: more than 100": [("both", SERVED, "--limit-request-fields")],
    "field: longer than 8190": [("both", SERVED, "--limit-request-field_size")],
    "length: tabs around": [_TABS],
    "length: shorter than the body": [
        ("nginx", NUMBER, "what follows is a request whose method happens to be a token: the application judges"),
        ("node", REFUSED, "what follows is a request whose method happens to be a token: the application judges"),
    ],
    "coding: tabs around": [_TABS],
    "coding: another before": [("node", SERVED, "we undo chunked only: 501 (RFC 9112, 6.1)")],
    "coding: another before in a field of its own": [("node", SERVED, "one Transfer-Encoding field, of one coding, is accepted")],
    "coding: empty elements": [("node", SERVED, "one Transfer-Encoding field, of one coding, is accepted")],
    "coding: in 1.0": [("node", SERVED, "HTTP/1.0 has no Transfer-Encoding: framing is in doubt (RFC 9112, 6.1)"), _TAIL],
    "chunk: more than 16 digits": [("both", SERVED, "a chunk size has at most 16 digits, leading zeros too")],
    "chunk: whitespace behind the size": [("nginx", SERVED, "whitespace may stand before an extension only (RFC 9112, 7.1.1)")],
    "chunk: extension with whitespace": [("node", REFUSED, "bad whitespace in extensions is to be ignored (RFC 9112, 7.1.1)")],
    "chunk: extension malformed": [("both", SERVED, "extensions are ignored but have a syntax (RFC 9112, 7.1.1)")],
    "chunk: LF in an extension": [_LF],
    "chunk: control character in an extension": [("nginx", SERVED, "extensions are ignored but have a syntax (RFC 9112, 7.1.1)")],
    "chunk: size ends with LF": [_LF],
    "chunk: data end with LF": [_LF],
    "chunk: longer or shorter than its size": [("nginx", SERVED, "nginx takes LF alone for the end of a chunk whose data ate the CR")],
    "chunk: last one ends with LF": [_LF, _OLD_LF],
    "trailer: framing field": [("node", REFUSED, "trailers are checked and forgotten, whatever they are called")],
    "trailer: malformed": [("nginx", SERVED, "nginx skips trailers unread"), _OLD_FIELD],
    "trailer: folded": [("nginx", SERVED, "nginx skips trailers unread"), _OLD_FIELD],
    "trailer: ends with LF": [_LF, _OLD_LF],
    "trailer: control character": [("nginx", SERVED, "nginx skips trailers unread")],
    "connection: close": [
        _TAIL,
        ("both", NUMBER, "close wins over keep-alive (RFC 9112, 9.3)"),
    ],
    "connection: not tokens": [("both", SERVED, "an option is a token (RFC 9110, 7.6.1): whether it says close is a guess")],
    "expect: something else": [("both", SERVED, "an unknown expectation is 417 (RFC 9110, 10.1.1)")],
    "upgrade: websocket": [
        _UPGRADE, ("both", SERVED, "a handshake that is no GET, or not whole, is 400 (RFC 6455, 4.2.2)"),
        ("node", NUMBER, "Node takes what follows a request for an upgrade for the other protocol's"),
    ],
    "upgrade: h2c": [_UPGRADE, ("node", NUMBER, "Node takes what follows a request for an upgrade for the other protocol's")],
    "field: empty name": [_OLD_FIELD],
    "field: whitespace before the first": [_OLD_FIELD],
    "field: space before the colon": [_OLD_FIELD],
    "target: control character": [_OLD_TARGET],
    "chunk: data end with CR or nothing": [_OLD_CHUNK],
    "host: none": [("node", SERVED, "Node 18 serves 1.1 without Host; RFC 9112, 3.2 asks for 400")],
    "coding: empty": [("node", SERVED, "Node 18 takes an empty Transfer-Encoding for none; a field that frames must say how")],
}
