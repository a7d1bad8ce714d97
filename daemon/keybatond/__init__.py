"""The Keybaton agent: owns the vault, the keys, the network and every session."""

__version__ = "0.1.0"  # a test compares it with the distribution's
