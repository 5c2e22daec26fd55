"""Collects single figures and prints the table."""
import statistics

OURS, NATIVE = "etrnd", "flush(8)"


class Report:
    def __init__(self) -> None:
        # measure -> side -> figures in the order in which they were taken
        self.figures: dict[str, dict[str, list[float]]] = {}

    def add(self, measure: str, side: str, figure: float) -> None:
        self.figures.setdefault(measure, {}).setdefault(side, []).append(figure)

    def median(self, measure: str, side: str) -> float | None:
        found = self.figures.get(measure, {}).get(side)
        return statistics.median(found) if found else None

    def worst(self, measure: str, side: str) -> float | None:
        found = self.figures.get(measure, {}).get(side)
        return max(found) if found else None

    def table(self, size) -> str:
        rows = [("measure", "etrnd", "peer", "ratio", "target", "")]
        for clients in (1, 8):
            rows += self._row(f"adds a second, {clients} client{'s' * (clients > 1)}", "", at_least=1.0, aim=2.0)
        for count in size.releases:
            rows += self._row(f"release of {count:,} of {size.messages:,}, probing off", "ms", at_most=1.0)
        for count in size.releases:
            rows += self._row(f"  until the answer, {count:,}", "ms")
        rows += self._row(f"last of {size.flush:,} delivered, probing on", "s", at_most=1.1)
        for what in ("release", "delivery"):
            for domain in ("the same domain", "another domain"):
                rows += self._longest(f"longest add to {domain} during the {what} of {size.flush:,}", limit=5.0)
            rows += self._longest(f"  the machine's own (a server that does nothing), {what}")
        rows += self._row(f"scan of {size.messages:,} files (peer: C)", "ms", at_most=2.0)
        rows += self._row("memory a recorded message", "bytes")
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = []
        for row in rows:
            cells = [row[0].ljust(widths[0])] + [row[column].rjust(widths[column]) for column in range(1, 4)]
            lines.append("  ".join([*cells, row[4].ljust(widths[4]), row[5]]).rstrip())
        return "\n".join(lines)

    def _row(self, measure: str, unit: str, at_least=None, at_most=None, aim=None) -> list[tuple]:
        """Medians of both sides, and how they compare."""
        ours, peer = self.median(measure, OURS), self.median(measure, NATIVE)
        if ours is None and peer is None:
            return []
        ratio = ours / peer if ours is not None and peer else None
        target, verdict = "", ""
        if at_least is not None:
            target = f"at least {at_least:.1f}, aim {aim:.1f}"
            verdict = "" if ratio is None else "MISSED" if ratio < at_least else "met" if ratio < aim else "met, and the aim"
        if at_most is not None:
            target = f"at most {at_most:.1f}"
            verdict = "" if ratio is None else "MISSED" if ratio > at_most else "met"
        return [(measure, show(ours, unit), show(peer, unit), "" if ratio is None else f"{ratio:.2f}", target, verdict)]

    def _longest(self, measure: str, limit: float | None = None) -> list[tuple]:
        """The worst of all rounds; what counts is a bound and not the peer."""
        ours, peer = self.worst(measure, OURS), self.worst(measure, NATIVE)
        if ours is None and peer is None:
            return []
        target = "" if limit is None else f"under {limit:.0f} ms"
        verdict = "" if ours is None or limit is None else "met" if ours < limit else "MISSED"
        return [(measure, show(ours, "ms"), show(peer, "ms"), "", target, verdict)]


def show(figure: float | None, unit: str) -> str:
    if figure is None:
        return "-"
    text = f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"
    return f"{text} {unit}".rstrip()
