"""Fair queuing on a virtual clock."""

from __future__ import annotations

import pytest

from kdist.apiserver.flowcontrol.pace import Pace
from kdist.apiserver.flowcontrol.queueset import ONE_SEAT, Estimate, QueueSet, Queuing
from kdist.apiserver.flowcontrol.stats import SchemaStats

from .conftest import Level, World

QUEUED = Queuing(queues=64, hand_size=6, length_limit=50)


def test_requests_start_at_once_while_seats_are_free(world: World) -> None:
    level = Level(world, 3, QUEUED)
    assert [level.send("a", 1.0).waits for _ in range(4)] == [False, False, False, True]


def test_a_seat_that_becomes_free_goes_to_who_waits(world: World) -> None:
    level = Level(world, 1, QUEUED)
    level.send("a", 1.0)
    level.send("a", 1.0)
    world.run()
    assert level.waits["a"] == [0.0, 1.0]
    assert level.queues.is_idle


def test_two_busy_flows_share_seats_evenly_however_many_clients_they_have(world: World) -> None:
    level = Level(world, 4, QUEUED)
    level.keep_busy("flood", 60, 0.1, until=100.0)
    level.keep_busy("small", 15, 0.1, until=100.0)
    world.run(100.0)
    assert level.served["small"] / level.served["flood"] == pytest.approx(1.0, rel=0.2)


def test_a_flow_of_few_requests_hardly_waits_in_a_flood_of_another(world: World) -> None:
    level = Level(world, 4, QUEUED)
    level.keep_busy("flood", 200, 0.1, until=60.0)
    for second in range(1, 50):
        world.at(second, lambda: level.send("polite", 0.1))
    world.run(60.0)
    assert max(level.waits["polite"]) < 0.25
    assert max(level.waits["flood"]) > 2.0


def test_a_flow_is_charged_for_what_its_requests_really_took(world: World) -> None:
    """Long requests get as many seat-seconds as short ones, not as many turns."""
    level = Level(world, 4, QUEUED)
    level.keep_busy("long", 20, 0.5, until=200.0)
    level.keep_busy("short", 20, 0.05, until=200.0)
    world.run(200.0)
    assert level.served["short"] / level.served["long"] == pytest.approx(10, rel=0.35)


def test_an_idle_flow_saves_up_no_credit(world: World) -> None:
    level = Level(world, 2, QUEUED)
    level.keep_busy("steady", 10, 0.1, until=60.0)
    world.run(30.0)
    level.keep_busy("late", 10, 0.1, until=60.0)
    before = level.served["steady"]
    world.run(40.0)
    assert level.served["steady"] - before == pytest.approx(level.served["late"], rel=0.2)


def test_a_full_queue_refuses_when_no_seat_is_free(world: World) -> None:
    level = Level(world, 1, Queuing(queues=1, hand_size=1, length_limit=2))
    tickets = [level.send("a", 1.0) for _ in range(4)]
    assert [ticket.rejected for ticket in tickets] == ["", "", "", "queue-full"]
    assert level.stats["a"].refused == {"queue-full": 1}


def test_a_level_without_queues_refuses_what_finds_no_seat(world: World) -> None:
    level = Level(world, 1, Queuing())
    assert [level.send("a", 1.0).rejected for _ in range(2)] == ["", "concurrency-limit"]


def test_an_exempt_level_has_no_limit(world: World) -> None:
    level = Level(world, 0, Queuing())
    level.queues.configure(Queuing(), 0, exempt=True)
    assert not any(level.send("a", 1.0).rejected for _ in range(100))


def test_a_wide_request_waits_until_all_its_seats_are_free(world: World) -> None:
    level = Level(world, 10, QUEUED)
    for _ in range(6):
        level.send("a", 1.0)
    wide = level.send("b", 1.0, Estimate(8))
    assert wide.waits
    assert level.stats["b"].unaccommodated
    world.run()
    assert level.waits["b"] == [1.0]


def test_a_request_wider_than_the_level_runs_alone(world: World) -> None:
    level = Level(world, 2, QUEUED)
    assert not level.send("a", 1.0, Estimate(5)).waits or level.queues.executing == 1
    assert level.send("b", 1.0).waits
    world.run()
    assert level.queues.is_idle


def test_seats_linger_after_a_write_that_many_watch(world: World) -> None:
    level = Level(world, 4, QUEUED)
    level.send("a", 1.0, Estimate(1, final=4, linger=0.5))
    level.send("b", 1.0)
    world.run()
    assert level.waits["b"] == [1.5]
    assert level.queues.seats_in_use == 0


def test_who_gives_up_waiting_leaves_the_queue(world: World) -> None:
    level = Level(world, 1, QUEUED)
    level.send("a", 1.0)
    waiting = level.send("a", 1.0)
    level.queues.cancel(waiting)
    assert (waiting.rejected, level.queues.waiting, level.queues.cancelled) == ("time-out", 0, 1)
    world.run()
    assert level.queues.is_idle


def test_finishing_twice_counts_once(world: World) -> None:
    level = Level(world, 1, QUEUED)
    ticket = level.send("a", 1.0)
    level.queues.finish(ticket)
    level.queues.finish(ticket)
    assert level.queues.seats_in_use == 0


def test_more_seats_start_more_requests_at_once(world: World) -> None:
    level = Level(world, 1, QUEUED)
    for _ in range(5):
        level.send("a", 1.0)
    level.queues.configure(QUEUED, 3)
    assert (level.queues.executing, level.queues.waiting) == (3, 2)


def test_fewer_queues_keep_those_who_wait(world: World) -> None:
    level = Level(world, 1, QUEUED)
    for flow in "abcdefgh":
        level.send(flow, 0.1)
    level.queuing = Queuing(queues=1, hand_size=1, length_limit=50)
    level.queues.configure(level.queuing, 1)
    world.run()
    assert sum(level.served.values()) == 8


def test_demand_is_averaged_over_time(world: World) -> None:
    level = Level(world, 10, QUEUED)
    for _ in range(4):
        level.send("a", 5.0)
    world.run(5.0)
    level.queues.configure(QUEUED, 10)
    world.run(10.0)
    level.queues.configure(QUEUED, 10)
    observed = level.queues.demand.reset(0)
    assert (observed.average, observed.deviation, observed.highest) == (2.0, 2.0, 4)


# ----- one turn of the event loop


class Loop:
    """Callbacks run turn by turn."""

    def __init__(self) -> None:
        self.soon: list[object] = []
        self.processor = 0.0

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for call in due:
            call()  # type: ignore[operator]


def paced(loop: Loop, world: World) -> QueueSet:
    pace = Pace(lambda: loop.processor, loop.soon.append)
    queues = QueueSet(lambda: world.now, world.at, pace)
    queues.configure(QUEUED, 1000)
    return queues


def test_a_turn_starts_only_what_it_can_carry(world: World) -> None:
    loop = Loop()
    queues = paced(loop, world)
    stats = SchemaStats("level", "a")
    tickets = [queues.arrive(ONE_SEAT, (0, 1, 2, 3, 4, 5), stats) for _ in range(100)]
    begun = sum(not ticket.waits for ticket in tickets)
    assert 1 <= begun < 20
    assert not any(ticket.rejected for ticket in tickets), "seats are free: nobody is refused"


def test_what_a_turn_left_over_starts_in_fair_order(world: World) -> None:
    loop = Loop()
    queues = paced(loop, world)
    order: list[str] = []

    def send(flow: str, hand: tuple[int, ...]) -> None:
        ticket = queues.arrive(ONE_SEAT, hand, SchemaStats("level", flow))
        ticket.started = lambda: order.append(flow)

    for _ in range(100):
        send("flood", (0, 1, 2, 3, 4, 5))
    send("polite", (6, 7, 8, 9, 10, 11))
    for _ in range(2):
        loop.turn()
    assert "polite" in order[:8]
    while loop.soon:
        loop.turn()
    assert queues.waiting == 0


def test_cheap_requests_make_turns_wider(world: World) -> None:
    loop = Loop()
    pace = Pace(lambda: loop.processor, loop.soon.append)
    before = pace.budget
    for _ in range(200):
        world.now += 0.01
        loop.processor += 0.00005
        pace.spend(1, world.now)
    assert pace.budget > 4 * before
