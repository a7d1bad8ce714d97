"""What click's shell completion gets wrong for us: spaces and colons in bash, commas in fish, and a second time in zsh."""

from __future__ import annotations

import os
import re
from typing import Any

from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class, split_arg_string

_SPECIAL = re.compile(r"([^A-Za-z0-9_./:=@%+,-])")

_BASH_SOURCE = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        case "$kind" in
            plain) COMPREPLY+=("$value") ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_PART="${COMP_WORDS[COMP_CWORD]}" \
%(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

# An autoloaded function of zsh is called through `_keybaton` each time; a sourced script registers the function. Whether a
# completion is going on tells the two apart at the second call as well.
_ZSH_SOURCE = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described response
    local type key description
    (( $+commands[%(prog_name)s] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \
%(complete_var)s=zsh_complete %(prog_name)s)}")
    for type key description in "${response[@]}"; do
        case "$type" in
            plain)
                if [[ "$description" == "_" ]]; then
                    plain+=("$key")
                else
                    described+=("$key:$description")
                fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( ${#described} )) && _describe -V unsorted described -U
    (( ${#plain} )) && compadd -U -V unsorted -a plain
}

if (( ${+compstate} )); then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class Bash(BashComplete):
    """Inserts what it completes as the shell has to read it. To bash, `:` and `=` end a word: only what follows is replaced."""

    source_template = _BASH_SOURCE
    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that one."""
        words = split_arg_string(os.environ["COMP_LINE"] + "_")  # so that the last word is one, be it empty
        incomplete = words.pop()[:-1]
        part = os.environ["COMP_PART"]
        after = "" if part in (":", "=") else "".join(split_arg_string(part))
        self._before = incomplete.removesuffix(after)
        return words[1:], incomplete

    def format_completion(self, item: Any) -> str:
        """`type,value`, the value with every special character escaped."""
        value = str(item.value)
        if item.type == "plain":
            value = _SPECIAL.sub(r"\\\1", value.removeprefix(self._before))
        return f"{item.type},{value}"


class Zsh(ZshComplete):
    """With a script of our own."""

    source_template = _ZSH_SOURCE


class Fish(FishComplete):
    """With names that hold a comma."""

    source_template = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


def register() -> None:
    """Makes click use these."""
    add_completion_class(Fish)
    add_completion_class(Bash)
    add_completion_class(Zsh)
