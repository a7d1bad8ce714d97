"""The Keybaton agent: owns the vault, the keys, the network and every session."""
