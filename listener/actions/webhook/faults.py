"""What is wrong with a web server or the way to it, in words.

Owns the reading of urllib3's exceptions, and what an operator can do about each. It catches nothing;
client.py does, and asks it.
"""

from __future__ import annotations

import re

from listener.errors import chain_of
from listener.log import printable

_REASONS = (
    (r"Tunnel connection failed: (\d+)[^'\"]*", "it does not let us through ({0}): correct 'proxy'"),
    (r"certificate has expired|not yet valid",
     "its certificate has expired, or begins later: renew it, or correct this host's clock"),
    (r"certificate is not valid for|[Hh]ostname mismatch|IP address mismatch",
     "its certificate is for another name: correct 'url', or the certificate"),
    (r"CERTIFICATE_VERIFY_FAILED",
     "its certificate is not from a CA that is trusted here: name the CA's file in 'ca'"),
    (r"(?i)certificate_required|handshake_failure|bad_certificate|unknown_ca",
     "it does not accept our certificate: correct 'cert' and 'key'"),
    (r"(?i)wrong_version_number|record_layer_failure|http_request|unsupported_protocol",
     "it does not speak TLS on this port: correct 'url'"),
    (r"NameResolutionError|LocationParseError|gaierror",
     "there is no host of this name: correct it, or the resolver"),
    (r"ConnectionRefusedError", "connection refused: start it, or correct the port"),
    (r"timed out", "no answer: check the address, and firewalls in between"),
    (r"unreachable", "no route to it: correct the address, or the network"),
    (r"RemoteDisconnected|ConnectionReset|BrokenPipe|IncompleteRead|EOF|ConnectionAborted",
     "the connection was lost before an answer came; the request may have arrived"),
    (r"BadStatusLine|LineTooLong|UnknownProtocol",
     "what it answers is no HTTP: correct the scheme or the port"),
)  # fmt: skip


def reason(error: BaseException, name: str) -> str:
    """What is wrong with the destination `name`, or with the proxy to it, and what to do."""
    text = chain_of(error)
    subject = f"{name}: the proxy: " if re.search("ProxyError|Tunnel connection", text) else f"{name}: "
    for pattern, words in _REASONS:
        if match := re.search(pattern, text):
            return printable(subject + words.format(*match.groups()))
    return printable(f"{subject}{type(error).__name__}")
