"""Why a connection does not come about. gRPC only says UNAVAILABLE; this asks again, step by step.

Order: own files, name resolution, TCP, TLS handshake, and the server's answer after it: under TLS 1.3 a server
refuses a client's certificate only after the client's handshake is over (RFC 8446, section 2). Most servers then
send an alert that says why; a gRPC server just closes the connection, so the cause is inferred from both certificates.
"""

from __future__ import annotations

import socket
import ssl
from datetime import datetime

from cryptography import x509

from shared.errors import FleetError, InputError, TlsError, TransportError
from shared.tls.files import TlsFiles, check_files

#: Seconds for each step that waits for the other side.
TIMEOUT = 5.0

#: OpenSSL's X509_V_ERR_* codes (x509_vfy.h) for the server's certificate: cause and cure.
_VERIFY = {
    9: ("the server's certificate is not valid yet", "compare the clocks of this machine and of the server"),
    10: ("the server's certificate has expired", "issue a new certificate for the server, or set this machine's clock"),
    62: ("the server's certificate is for another name", "ask it by a name in its certificate, or state its name"),
    64: ("the server's certificate is for another address", "ask it by a name in its certificate, or state its name"),
}
_FOREIGN = (
    "the server's certificate was not issued by the CA in {ca}",
    "use the ca.crt of the fleet that the server belongs to; if it is the right one, somebody else answers there",
)

_OTHER_CA = "use a certificate of the CA that issued the server's"
_NONE_SHOWN = (
    "the server demands a client certificate and none was shown",
    "name the certificate and key of an identity of the fleet",
)

#: Alerts of RFC 8446 section 6.2 as OpenSSL spells them, in the order in which they are looked for.
_ALERTS = (
    ("CERTIFICATE_REQUIRED", *_NONE_SHOWN),
    ("CERTIFICATE_EXPIRED", "the server says that the client certificate has expired", "compare the machines' clocks"),
    ("UNKNOWN_CA", "the server does not know the CA of the client certificate", _OTHER_CA),
    ("BAD_CERTIFICATE", "the server refuses the client certificate", _OTHER_CA),
    ("CERTIFICATE_UNKNOWN", "the server refuses the client certificate", _OTHER_CA),
    ("WRONG_VERSION_NUMBER", "the server does not speak TLS on this port", "check the port"),
)


def diagnose(
    address: str,
    files: TlsFiles,
    server_name: str | None = None,
    *,
    timeout: float = TIMEOUT,
    now: datetime | None = None,
) -> FleetError:
    """Return why ``address`` cannot be called: ``TlsError`` if it is TLS, ``TransportError`` if it is the network.

    Args:
        address: host:port as given to ``open_channel``.
        files: the files that the channel was opened with.
        server_name: likewise.
        timeout: seconds for each waiting step.
        now: the instant at which own certificates must be valid; None: the system clock.
    """
    try:
        host, port = split_address(address)
        check_files(files, now)
        with _connect(address, host, port, timeout) as plain:
            _handshake(address, plain, files, server_name or host)
    except FleetError as error:
        return error
    return TransportError(
        f"cannot call {address}: network and TLS are in order, but the service does not answer",
        cure="try again; if it stays so, look into the server's log",
    )


def split_address(address: str) -> tuple[str, int]:
    """Split host:port or [v6 address]:port.

    Raises:
        InputError: it is neither.
    """
    host, colon, port = address.removeprefix("dns:///").rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not port.isdecimal() or int(port) > 65535 or (":" in bare and bare == host):  # noqa: PLR2004 - the largest port
        raise InputError(f"cannot use address {address!r}: it must be host:port or [address]:port")
    return bare, int(port)


def _connect(address: str, host: str, port: int, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=timeout)
    except socket.gaierror as error:
        raise TransportError(
            f"cannot reach {address}: the name {host} cannot be resolved: {error.strerror}",
            cure="check the name and DNS",
        ) from error
    except ConnectionRefusedError as error:
        raise TransportError(
            f"cannot reach {address}: nothing listens there", cure="check the port, and that the service runs"
        ) from error
    except TimeoutError as error:
        raise TransportError(
            f"cannot reach {address}: no answer within {timeout:g} s",
            cure="check that the machine is on, and that no firewall drops the port",
        ) from error
    except OSError as error:
        raise TransportError(f"cannot reach {address}: {error.strerror or error}", cure="check the network") from error


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])  # a gRPC server ends the handshake with a client that does not offer HTTP/2
    try:
        context.load_verify_locations(files.ca)
        if files.cert and files.key:
            context.load_cert_chain(files.cert, files.key)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"cannot use the TLS files beside {files.ca}: {error}") from error
    return context


def _handshake(address: str, plain: socket.socket, files: TlsFiles, name: str) -> None:
    failed = f"cannot open TLS to {address}"
    try:
        with _context(files).wrap_socket(plain, server_hostname=name) as secure:
            # The answer to our certificate comes with the first bytes: HTTP/2 settings if it was taken.
            server = secure.getpeercert(binary_form=True) or b""
            try:
                answer = secure.recv(1)
            except (ssl.SSLEOFError, ConnectionError):
                answer = b""
            if not answer:
                raise _from_silence(failed, files, x509.load_der_x509_certificate(server))
    except ssl.SSLCertVerificationError as error:
        cause, cure = _VERIFY.get(error.verify_code, _FOREIGN)
        detail = f" ({error.verify_message.rstrip('.')})" if error.verify_message else ""
        raise TlsError(f"{failed}: {cause.format(ca=files.ca)}{detail}", cure=cure) from error
    except (ssl.SSLEOFError, ConnectionError) as error:
        raise TlsError(
            f"{failed}: the server hung up in the middle of the handshake", cure="check the port and the server's log"
        ) from error
    except ssl.SSLError as error:
        raise _from_alert(failed, error) from error
    except TimeoutError as error:
        raise TransportError(
            f"cannot reach {address}: it accepts connections, but does not answer", cure="restart the service there"
        ) from error


def _from_silence(failed: str, files: TlsFiles, server: x509.Certificate) -> TlsError:
    """Say why a server hung up without an alert right after a handshake in which we trusted it."""
    if files.cert is None:
        return TlsError(f"{failed}: {_NONE_SHOWN[0]}", cure=_NONE_SHOWN[1])
    ours = x509.load_pem_x509_certificate(files.cert.read_bytes())
    if ours.issuer != server.issuer:
        return TlsError(
            f"{failed}: the server does not know the CA of {files.cert} ({ours.issuer.rfc4514_string()}); "
            f"its own is {server.issuer.rfc4514_string()}",
            cure=_OTHER_CA,
        )
    return TlsError(
        f"{failed}: the server refuses certificate {files.cert} and does not say why",
        cure="compare the clocks of both machines, then look into the server's log",
    )


def _from_alert(failed: str, error: ssl.SSLError) -> TlsError:
    reason = error.reason or str(error)
    for alert, cause, cure in _ALERTS:
        if alert in reason:
            return TlsError(f"{failed}: {cause}", cure=cure)
    return TlsError(f"{failed}: {reason.lower().replace('_', ' ')}", cure="check the port and the server's log")
