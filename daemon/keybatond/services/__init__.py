"""Policy of the agent: what happens, in which order, and who may. No technology, no wire type."""
