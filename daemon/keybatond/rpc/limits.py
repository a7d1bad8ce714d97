"""Bounds of the server."""

MESSAGE_MAX_BYTES = 4 * 1024 * 1024  # gRPC's own default for receiving, which foreign clients have too
CALLS_MAX = 512  # at once, watches included; more get RESOURCE_EXHAUSTED
