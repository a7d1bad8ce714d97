"""A project's `keybaton.toml`: which vault it uses and what its variables must look like."""
