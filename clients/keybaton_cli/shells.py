"""What click's shell completion gets wrong for us: names with spaces in bash, and a second completion in zsh."""

from __future__ import annotations

import re
from typing import Any

from click.shell_completion import BashComplete, ZshComplete, add_completion_class

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
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete "$1")
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
    """Inserts what it completes as the shell has to read it."""

    source_template = _BASH_SOURCE

    def format_completion(self, item: Any) -> str:
        """`type,value`, the value with every special character escaped."""
        value = str(item.value)
        if item.type == "plain":
            value = _SPECIAL.sub(r"\\\1", value)
        return f"{item.type},{value}"


class Zsh(ZshComplete):
    """With a script of our own."""

    source_template = _ZSH_SOURCE


def register() -> None:
    """Makes click use these."""
    add_completion_class(Bash)
    add_completion_class(Zsh)
