"""Bounds of the server."""

MESSAGE_MAX_BYTES = 4 * 1024 * 1024  # gRPC's own default for receiving, which foreign clients have too
STREAMS_MAX = 128  # of the calls: who watches leaves room for who asks; more get BUSY
WORKS_MAX = 8  # checks, backups and the like at once, with those that nobody watches any more; more get BUSY
CALLS_MAX = 512  # at once, watches included; more get RESOURCE_EXHAUSTED
