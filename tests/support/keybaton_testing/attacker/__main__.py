"""The attacker's tries in the lab: `python -m keybaton_testing.attacker --tries 1000`. Ends with 1 when anything gave way."""

from __future__ import annotations

import argparse
import sys
import time

from keybaton_testing.attacker.campaign import campaign, guess_rate, problems_of, world
from keybaton_testing.attacker.kinds import KINDS


def main() -> int:
    """Runs the kinds and prints one line for each."""
    parser = argparse.ArgumentParser(prog="python -m keybaton_testing.attacker", description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="tries of each kind")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="only this kind; may be repeated")
    parser.add_argument("--worlds", type=int, default=8, help="networks at a time")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the attacker's choices")
    parser.add_argument("--minutes", type=float, default=240, help="the most it may take")
    arguments = parser.parse_args()
    names = arguments.kind or list(KINDS)
    print(f"seed {arguments.seed}")
    until = time.monotonic() + 60 * arguments.minutes
    tallies = campaign(names, arguments.tries, arguments.seed, worlds=arguments.worlds, until=until)
    problems = problems_of(tallies)
    for tally in tallies.values():
        print(tally.text())
    if not arguments.kind:
        problems += _rates(arguments.tries, arguments.seed)
    for problem in problems:
        print(f"FAILED {problem}", file=sys.stderr)
    return 1 if problems else 0


def _rates(tries: int, seed: int) -> list[str]:
    problems = []
    with world(seed) as made:
        for as_sender, words in ((True, "as sender"), (False, "as receiver")):
            successes, (least, most), found = guess_rate(made, max(60, tries), as_sender=as_sender)
            print(f"guesses {words} among four codes: {successes} right, chance gives {least} to {most}")
            problems += found
            if not least <= successes <= most:
                problems.append(f"guesses {words}: {successes} right are not {least} to {most}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
