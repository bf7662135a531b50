"""Progress bars and tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import click


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function that reports the step that begins; if stderr is a terminal, it advances a progress bar."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        begun = count()
        yield lambda text: bar.update(task, completed=next(begun), description=escape(text))


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print a table to stdout: drawn on a terminal, otherwise in plain columns for other programs."""
    rows = list(rows)
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_header=any(header))
        for col, title in enumerate(header):
            table.add_column(title, justify="right" if col in right else "left", header_style="bold", no_wrap=col == 0)
        for row in rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    lines = [header, *rows] if any(header) else rows
    widths = [max(len(line[col]) for line in lines) for col in range(len(header))]
    for line in lines:
        cells = (
            cell.rjust(width) if col in right else cell.ljust(width)
            for col, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
