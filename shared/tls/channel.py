"""gRPC credentials and channels: both ends of every connection show a certificate of the fleet's CA."""

from __future__ import annotations

import grpc

from shared.errors import TlsError
from shared.tls.files import TlsFiles

#: Largest message, bytes: a list of 10,000 nodes with their health fits several times over.
_MESSAGE_BYTES = 32 * 1024 * 1024

#: For every server: accept the keepalive below, which gRPC would otherwise answer with "too many pings".
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not take half of the calls
)

#: For every client: a dead peer is noticed within 40 s while a call runs, and a reconnect waits 10 s at most.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.enable_http_proxy", 0),  # nodes are asked directly; a proxy variable of the shell must not reroute that
)


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that refuse every client without a certificate of the CA in ``files``.

    Raises:
        TlsError: a file cannot be read, or no certificate is named.
    """
    ca, cert, key = files.read()
    if cert is None or key is None:
        raise TlsError("cannot serve without a certificate and its key", cure="name the folder of an identity")
    return grpc.ssl_server_credentials([(key, cert)], root_certificates=ca, require_client_auth=True)


def open_channel(address: str, files: TlsFiles, server_name: str | None = None) -> grpc.Channel:
    """Return a channel to ``address`` (host:port); it connects with the first call.

    Args:
        address: host:port, or [address]:port for IPv6.
        files: what to show and to check the server with.
        server_name: the name that must stand in the server's certificate; None: the host in ``address``.

    Raises:
        TlsError: a file cannot be read.
    """
    ca, cert, key = files.read()
    credentials = grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)
    options: list[tuple[str, int | str]] = list(CHANNEL_OPTIONS)
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.secure_channel(address, credentials, options=options)
