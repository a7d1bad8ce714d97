"""Start of `keybaton`. Unlike what it imports, this file is compiled at every start: nothing more belongs here."""

import sys

if __name__ == "__main__":
    # The trampoline starts Python without `site`, which costs a quarter of the start: only this folder is needed so far.
    if sys.flags.no_site:
        sys.path.insert(0, __file__.rpartition("/keybaton_cli/")[0])
    from keybaton_hot import main

    main()
