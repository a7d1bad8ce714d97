"""gRPC servicers: translate, call a service, translate back. Wire types stop here."""
