"""What the table shows of the figures."""
from figures import OURS, Figures, Row, Target

NATIVE = "flush(8)"


def rows(figures: Figures, size) -> list[Row]:
    made = []

    def middle(measure: str, unit: str = "", target: Target | None = None) -> None:
        """Medians of both sides, and how they compare."""
        made.append(Row(measure, unit, figures.median(measure, OURS), figures.median(measure, NATIVE), target=target))

    def longest(measure: str, limit: float | None = None) -> None:
        """The worst of all rounds; what counts is a bound and not the peer."""
        target = None if limit is None else Target(at_most=limit, unit="ms")
        made.append(Row(measure, "ms", figures.worst(measure, OURS), figures.worst(measure, NATIVE), target=target, has_ratio=False))

    for clients in (1, 8):
        middle(f"adds a second, {clients} client{'s' * (clients > 1)}", target=Target(at_least=1.0, aim=2.0))
    for count in size.releases:
        middle(f"release of {count:,} of {size.messages:,}, probing off", "ms", Target(at_most=1.0))
    for count in size.releases:
        middle(f"  until the answer, {count:,}", "ms")
    middle(f"last of {size.flush:,} delivered, probing on", "s", Target(at_most=1.1))
    for what in ("release", "delivery"):
        for domain in ("the same domain", "another domain"):
            longest(f"longest add to {domain} during the {what} of {size.flush:,}", limit=5.0)
        longest(f"  the machine's own (a server that does nothing), {what}")
    middle(f"scan of {size.messages:,} files (peer: C)", "ms", Target(at_most=2.0))
    middle("memory a recorded message", "bytes")
    return made
