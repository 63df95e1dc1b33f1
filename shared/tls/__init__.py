"""Mutual TLS: every gRPC call of MaticOS Fleet runs over it, in both directions.

Who somebody is stands in the certificate's URI name ``matic://<role>/<name>``; nothing else in it is trusted for
that. What a role may do is the business of each service, told to ``require_role``.
"""

from shared.tls.channel import CHANNEL_OPTIONS, SERVER_OPTIONS, open_channel, server_credentials
from shared.tls.diagnosis import diagnose
from shared.tls.files import TlsFiles, check_files
from shared.tls.guard import ANYBODY, require_role
from shared.tls.identity import Identity, Role, identity_of, peer_identity

__all__ = [
    "ANYBODY",
    "CHANNEL_OPTIONS",
    "SERVER_OPTIONS",
    "Identity",
    "Role",
    "TlsFiles",
    "check_files",
    "diagnose",
    "identity_of",
    "open_channel",
    "peer_identity",
    "require_role",
    "server_credentials",
]
