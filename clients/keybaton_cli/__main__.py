"""Start of `keybaton`: the hot commands by hand, everything else through click."""

import sys


def _main() -> None:
    # The trampoline starts Python without `site`, which costs a quarter of the start: only this folder is needed so far.
    bare = sys.flags.no_site
    if bare:
        sys.path.insert(0, __file__.rpartition("/keybaton_cli/")[0])
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        from keybaton_cli.closed_streams import fill

        fill()
    from keybaton_cli.hot import run

    code = run(sys.argv[1:])
    if code is not None:
        import posix

        posix._exit(code)  # nothing is buffered, and the interpreter's own end takes a millisecond
    if bare:
        import site

        del sys.path[0]
        site.main()  # the virtual environment, its prefix and its .pth files
    from keybaton_cli.cli import main

    code = main()
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: Ctrl-C now would only make the interpreter's end noisy
    sys.exit(code)


if __name__ == "__main__":
    _main()
