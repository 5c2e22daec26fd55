"""Collects single figures, and prints a table: ours, the peer's, the ratio, the target, and whether it was met."""
import json
import statistics
from pathlib import Path
from typing import NamedTuple

OURS = "etrnd"


class Figures:
    """All that was measured, in the order in which it was."""

    def __init__(self) -> None:
        # measure -> side -> figures
        self.taken: dict[str, dict[str, list[float]]] = {}

    def add(self, measure: str, side: str, figure: float) -> None:
        self.taken.setdefault(measure, {}).setdefault(side, []).append(figure)

    def median(self, measure: str, side: str) -> float | None:
        found = self.taken.get(measure, {}).get(side)
        return statistics.median(found) if found else None

    def worst(self, measure: str, side: str) -> float | None:
        found = self.taken.get(measure, {}).get(side)
        return max(found) if found else None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.taken, indent=1) + "\n")


class Target(NamedTuple):
    """What is asked of the ratio, or with a unit of our own figure."""

    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    unit: str | None = None

    def __str__(self) -> str:
        bound = self.at_most if self.at_most is not None else self.at_least
        text = f"{'at most' if self.at_most is not None else 'at least'} {bound:,g} {self.unit or ''}".rstrip()
        return text if self.aim is None else f"{text}, aim {self.aim:,g}"

    def verdict(self, ours: float | None, ratio: float | None) -> str:
        figure = ratio if self.unit is None else ours
        if figure is None:
            return ""
        is_low = self.at_most is not None
        if figure > self.at_most if is_low else figure < self.at_least:
            return "MISSED"
        if self.aim is None:
            return "met"
        return "met, and the aim" if (figure <= self.aim if is_low else figure >= self.aim) else "met"


class Row(NamedTuple):
    """A line of the table. Without a peer there is no ratio."""

    text: str
    unit: str = ""
    ours: float | None = None
    peer: float | None = None
    peer_name: str = ""
    target: Target | None = None
    has_ratio: bool = True


def table(rows: list[Row]) -> str:
    """Rows for which nothing was measured are left out."""
    lines = [("measure", OURS, "peer", "ratio", "target", "")]
    for row in rows:
        if row.ours is None and row.peer is None:
            continue
        ratio = row.ours / row.peer if row.has_ratio and row.ours is not None and row.peer else None
        peer = show(row.peer, row.unit) + (f" ({row.peer_name})" if row.peer_name and row.peer is not None else "")
        target, verdict = ("", "") if row.target is None else (str(row.target), row.target.verdict(row.ours, ratio))
        lines.append((row.text, show(row.ours, row.unit), peer, "" if ratio is None else f"{ratio:.2f}", target, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(line[column].rjust(widths[column]) for column in (1, 2, 3)), line[4].ljust(widths[4]), line[5]])
        .rstrip() for line in lines)


def show(figure: float | None, unit: str) -> str:
    if figure is None:
        return "-"
    size = abs(figure)
    text = f"{figure:,.0f}" if size >= 100 else f"{figure:.1f}" if size >= 10 else f"{figure:.2f}" if size >= 1 else f"{figure:.3g}"
    return f"{text} {unit}".rstrip()
