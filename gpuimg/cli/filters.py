"""``gpuimg filters``: the list of filters, and the help of one filter."""

from __future__ import annotations

import inspect
import re

import click

import gpuimg
from gpuimg.cli.options import complete_filter
from gpuimg.cli.terminal import show_table
from gpuimg.filters import filter_named
from gpuimg.jobs.texts import parameters
from gpuimg.registry import Filter


@click.command()
@click.argument("name", required=False, shell_complete=complete_filter)
def filters(name: str | None) -> None:
    """List the filters, or show the help of one filter."""
    if name is None:
        from gpuimg.advice import unwritten

        rows = [
            (found.name, found.family, "no" if unwritten(found.name) else "yes", _summary(found))
            for found in gpuimg.FILTERS.values()
        ]
        show_table(("filter", "family", "cuda", ""), sorted(rows, key=lambda row: (row[1], row[0])))
        return
    try:
        found = filter_named(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    help_text = (inspect.getdoc(found.function) or "").replace("see `gpuimg.filters`", "see below")
    click.echo(f"{found.name}{_signature(found)}\n\n{help_text}\n")
    if shared := _shared_parameters(found):
        click.echo(f"Shared parameters\n-----------------\n{shared}\n")
    click.echo(f"On the command line: gpuimg run SRC -o DST -f {_example(found)}")


def _signature(found: Filter) -> inspect.Signature:
    """Return a filter's signature without types, which its help describes."""
    full = inspect.signature(found.function)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in full.parameters.values()]
    return full.replace(parameters=bare, return_annotation=inspect.Signature.empty)


def _shared_parameters(found: Filter) -> str:
    """Return the description, in `gpuimg.filters`, of the shared parameters of a filter."""
    import gpuimg.filters

    referring = re.findall(r"^([\w, ]+) : .*see `gpuimg\.filters`", inspect.getdoc(found.function) or "", re.MULTILINE)
    names = ", ".join(referring).split(", ")
    entries = re.finditer(r"^(\w+) : .+\n(?:    .+\n)+", inspect.getdoc(gpuimg.filters) or "", re.MULTILINE)
    texts = {entry[1]: entry[0] for entry in entries}
    return "".join([texts[name] for name in names if name in texts]).rstrip()


def _summary(found: Filter) -> str:
    return (inspect.getdoc(found.function) or "").partition("\n")[0]


def _example(found: Filter) -> str:
    """Return a step that sets the required parameters, or otherwise the first one, to the value of an example."""
    known = parameters(found)
    params = next((example for example in found.examples if example), {})
    written = {name: value for name, value in params.items() if name in known}
    written = {name: value for name, value in written.items() if not (hasattr(value, "shape") or callable(value))}
    written |= dict.fromkeys(found.images, "FILE.png")
    if missing := [name for name in known if known[name].default is inspect.Parameter.empty and name not in written]:
        return f"{found.name}:{','.join(f'{name}=...' for name in missing)}"
    text = ",".join(f"{name}={value}" for name, value in written.items())
    step = f"{found.name}:{text}" if text else found.name
    if "'" in step:
        return f'"{step}"'
    return f"'{step}'" if set(step) & set(" ()[]*") else step
