"""The `keybaton` command line."""
