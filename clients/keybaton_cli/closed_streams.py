"""Standard streams that were closed before the start: their descriptors are taken, so that no socket or file gets them."""

import os
import sys

_MODES = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def fill() -> None:
    """Puts what reads as empty, and fails every write, in the place of each closed one. Programs started get none of them."""
    for wanted, (name, mode) in enumerate(_MODES):
        if getattr(sys, name) is not None:
            continue
        # Opened for reading only: a lost answer is then a failure (EBADF), as it is without a descriptor.
        got = os.open(os.devnull, os.O_RDONLY)
        if got != wanted:
            os.dup2(got, wanted, inheritable=False)
            os.close(got)
        setattr(sys, name, open(wanted, mode, closefd=False))  # noqa: SIM115  (open as long as the process)
