"""Faults and load, small: `make faults` runs the same stories large."""
import pytest

from faults import clock, descriptors, disk, floods, flushes, hops, slow_peers, stories

needs_mounts = pytest.mark.skipif(bool(disk.obstacle()), reason=str(disk.obstacle()))
needs_loops = pytest.mark.skipif(bool(disk.obstacle_to_breaking()), reason=str(disk.obstacle_to_breaking()))
needs_compiler = pytest.mark.skipif(bool(clock.obstacle()), reason=str(clock.obstacle()))


def test_without_descriptors_known_peers_are_served_new_ones_wait_and_nothing_spins(stage):
    print(descriptors.descriptors_run_out(stage, peers=60))


@needs_mounts
def test_a_disk_that_fills_again_and_again_loses_nothing_and_readiness_tells(stage):
    print(disk.disk_fills_again_and_again(stage, rounds=2))


@needs_loops
def test_a_file_system_that_turns_read_only_loses_nothing_and_readiness_tells(stage):
    print(disk.disk_turns_read_only(stage, rounds=1))


@needs_compiler
def test_a_clock_that_jumps_changes_neither_pace_nor_order(stage):
    print(clock.clock_jumps(stage, count=3))


def test_a_thousand_slow_peers_hold_nobody_up(stage):
    # Other tests' work shares the processors: the small story sees only a daemon that stalls. `make faults` has the target.
    print(slow_peers.slow_peers_hold_nobody_up(stage, http_peers=1_000, smtp_peers=200, requests=1_000, limit=20))


def test_next_hops_that_accept_and_never_answer_hold_nobody_up(stage):
    print(hops.mute_hops_hold_nobody_up(stage, hops=3, messages=8, concurrency=8))


def test_flushes_at_once_are_answered_and_each_message_comes_once(stage):
    print(flushes.many_flushes_at_once(stage, count=150))


def test_connections_that_are_reset_leave_nothing(stage):
    print(floods.connections_are_reset(stage, count=1_000))


def test_heads_without_an_end_are_cut_off(stage):
    print(floods.heads_have_no_end(stage, count=9))


def test_peers_that_never_read_cost_little(stage):
    print(floods.nobody_reads(stage, count=8))


def test_every_story_has_a_long_version():
    made = stories.made_of({name: default for name, (default, _) in stories.SIZES.items()})

    assert list(made) == stories.NAMES and stories.OBSTACLES.keys() <= made.keys()
