"""An attacker on the network of two honest devices: a host of its own with programs of its own.

Of the product it uses the pure encodings alone (datagrams, messages, CPace arithmetic and the key schedule), never a session.
"""
