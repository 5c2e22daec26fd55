"""The list of all stories, with the sizes of their long versions."""
from collections.abc import Callable

from . import clock, descriptors, disk, floods, flushes, hops, kills, postfix_kills, slow_peers
from .stage import Stage

# What `Tools/faults` does when nothing else is said.
SIZES: dict[str, tuple[int, str]] = {
    "kills": (200, "kill -9 of the spool"),
    "postfix_kills": (40, "kill -9 of the service of a real Postfix"),
    "starved_peers": (300, "peers of each kind that come while there are no descriptors"),
    "full_disks": (30, "times that the disk is full"),
    "broken_disks": (10, "times that the file system turns read-only"),
    "jumps": (30, "jumps of the clock"),
    "slow_peers": (10_000, "slow HTTP peers"),
    "slow_smtp_peers": (2_000, "slow SMTP peers"),
    "requests": (20_000, "requests timed with slow peers and without"),
    "flushes": (1_000, "flushes at once"),
    "mute_hops": (9, "next hops that accept and never answer, on 20 slots"),
    "resets": (10_000, "connections of each kind that are reset"),
    "rude_peers": (200, "peers that send giant heads, or never read"),
}
SLOWER_AT_MOST = 2.0  # the p99 under slow peers, in unloaded ones


def made_of(sizes: dict[str, int]) -> dict[str, Callable[[Stage], str]]:
    """The stories by their names, with these sizes."""
    return {
        "kills": lambda stage: kills.spool_is_killed(stage, sizes["kills"]),
        "postfix-kills": lambda stage: postfix_kills.service_of_postfix_is_killed(stage, sizes["postfix_kills"]),
        "descriptors": lambda stage: descriptors.descriptors_run_out(stage, sizes["starved_peers"], rounds=5),
        "full-disk": lambda stage: disk.disk_fills_again_and_again(stage, sizes["full_disks"]),
        "broken-disk": lambda stage: disk.disk_turns_read_only(stage, sizes["broken_disks"]),
        "clock": lambda stage: clock.clock_jumps(stage, sizes["jumps"]),
        "slow-peers": lambda stage: slow_peers.slow_peers_hold_nobody_up(
            stage, sizes["slow_peers"], sizes["slow_smtp_peers"], sizes["requests"], SLOWER_AT_MOST, soak=12),
        "flushes": lambda stage: flushes.many_flushes_at_once(stage, sizes["flushes"]),
        "mute-hops": lambda stage: hops.mute_hops_hold_nobody_up(stage, sizes["mute_hops"], messages=20, concurrency=20),
        "resets": lambda stage: floods.connections_are_reset(stage, sizes["resets"]),
        "giant-heads": lambda stage: floods.heads_have_no_end(stage, sizes["rude_peers"]),
        "never-reading": lambda stage: floods.nobody_reads(stage, sizes["rude_peers"]),
    }


NAMES = list(made_of({name: default for name, (default, _) in SIZES.items()}))


OBSTACLES: dict[str, Callable[[], str | None]] = {
    "postfix-kills": postfix_kills.obstacle,
    "full-disk": disk.obstacle,
    "broken-disk": disk.obstacle_to_breaking,
    "clock": clock.obstacle,
}


def obstacle(name: str) -> str | None:
    """Why this machine cannot have a story; None when it can."""
    return OBSTACLES[name]() if name in OBSTACLES else None
