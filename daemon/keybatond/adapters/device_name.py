"""What this device calls itself to its peers: what was configured, else its host name."""

from __future__ import annotations

import socket

from keybaton_core.names import DEVICE_NAME_MAX_BYTES, plain


class HostName:
    """Implements DeviceInfo with the host name up to its first dot, read afresh since it may change."""

    def __init__(self, configured: str = "") -> None:
        """`configured`, when it is not empty, takes the place of the host name."""
        self._configured = configured

    def name(self) -> str:
        """At most DEVICE_NAME_MAX_BYTES bytes of UTF-8 without control characters; never empty."""
        if self._configured:
            return self._configured
        try:
            host = socket.gethostname()
        except OSError:
            host = ""
        return device_name(host)


def device_name(host: str) -> str:
    """`host` made fit to be shown and to travel in a datagram."""
    # The host name is bytes to the kernel; what is no UTF-8 arrives as surrogates, which `plain` drops.
    text = plain(host.partition(".")[0])
    return text.encode()[:DEVICE_NAME_MAX_BYTES].decode(errors="ignore").strip() or "device"
