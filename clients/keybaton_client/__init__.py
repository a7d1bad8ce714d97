"""Client library over the generated gRPC stubs."""
