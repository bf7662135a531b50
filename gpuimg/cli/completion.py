"""``gpuimg completion``: scripts for shells."""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, split_arg_string

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" type value
    local word="${line##* }" kept=""
    [[ $COMP_WORDBREAKS == *:* ]] && kept="${word%%"${word##*[:=]}"}"
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$kept"}")
                [[ $value == *= ]] && compopt -o nospace
                ;;
        esac
    done < <(COMP_WORDS="$line" COMP_CWORD= %(complete_var)s=bash_complete "$1" 2> /dev/null)
    return 0
}
complete -F %(complete_func)s %(prog_name)s
"""


@click.command()
@click.pass_context
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands, filters and their parameters in a shell.

    \b
    echo 'eval "$(gpuimg completion bash)"' >> ~/.bashrc
    echo 'eval "$(gpuimg completion zsh)"' >> ~/.zshrc
    gpuimg completion fish > ~/.config/fish/completions/gpuimg.fish
    """
    from click.shell_completion import get_completion_class

    found = Bash if shell == "bash" else get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "gpuimg", "_GPUIMG_COMPLETE").source())


class Bash(BashComplete):
    """Completion in bash, which treats ``:`` and ``=`` as word breaks, unlike Click."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        incomplete = "" if not words or line[-1:].isspace() else words.pop()
        return words, incomplete
