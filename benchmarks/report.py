"""Tables and plots: printed as text, and written as CSV and SVG."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from tabulate import tabulate


@dataclass(frozen=True)
class Report:
    """Where results go: to standard output, and as files into *folder*."""

    folder: Path

    def table(
        self, name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Print a table, and write it as ``NAME.csv``."""
        texts = [[str(value) for value in row] for row in rows]
        self.say(f"\n{title}\n\n{tabulate(texts, columns, disable_numparse=True)}\n")
        with self._file(f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *texts])

    def plot(
        self,
        name: str,
        axes: tuple[str, str],
        lines: Mapping[str, Sequence[tuple[float, float]]],
    ) -> None:
        """Draw *lines* of points on two logarithmic *axes*, and write them as ``NAME.svg``."""
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        plane = figure.subplots()
        for label, points in lines.items():
            plane.plot(*zip(*points, strict=True), marker="o", label=label)
        plane.set(xscale="log", yscale="log", xlabel=axes[0], ylabel=axes[1])
        plane.grid(alpha=0.3)
        plane.legend()
        # No date and no chance, so that the same figures are the same file.
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(self._file(f"{name}.svg"), metadata={"Date": None})

    def say(self, text: str) -> None:
        """Print *text* at once."""
        print(text, flush=True)  # noqa: T201 - it is what the program is for

    def _file(self, name: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name
