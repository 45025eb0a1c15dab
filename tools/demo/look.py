"""How the demo talks: plain, at most 80 columns, colour only on a terminal."""
import os
import shutil
import sys
import textwrap

WIDTH = min(80, shutil.get_terminal_size((80, 24)).columns)
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


def cut(text, width):
    return text if len(text) <= width else text[:width - 3] + "..."


def title(text):
    line()
    line(paint("1", text))
    line(paint("2", "-" * len(text)))


def line(text=""):
    print(text, flush=True)


def tell(text):
    """A line or two of explanation."""
    line(textwrap.fill(" ".join(text.split()), WIDTH - 1))


def show(text):
    """Something a program printed, or one would type."""
    for row in text.rstrip("\n").split("\n"):
        line("    " + cut(row.expandtabs(), WIDTH - 4))


def wrap(text, hang=4):
    """The same, but nothing of it is cut off: it goes on further right."""
    for row in text.rstrip("\n").split("\n"):
        row = row.expandtabs()
        line(textwrap.fill(row, WIDTH - 1, initial_indent="    ",
                           subsequent_indent=" " * (4 + hang),
                           break_on_hyphens=False))


def quiet(text):
    line(paint("2", cut("    " + text, WIDTH)))


def event(at, what):
    """Something that happened, and when."""
    line(cut(f"  {at:5.1f} s  {what}", WIDTH))


def table(head, rows):
    """The first column to the left, the others to the right."""
    rows = [[str(c) for c in row] for row in [head] + rows]
    wide = [max(len(r[i]) for r in rows) for i in range(len(head))]
    for n, row in enumerate(rows):
        cells = [row[0].ljust(wide[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], wide[1:])]
        text = "    " + "   ".join(cells)
        line(paint("1", text) if n == 0 else text)
