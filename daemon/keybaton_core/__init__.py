"""Pure logic of Keybaton: bytes and values in, bytes and values out.

No I/O, clock or randomness: time, random bytes and ids are arguments.
"""
