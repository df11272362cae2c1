"""A bouncing contact gives one edge per change that stands, and never forgets the last one."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.panel.contact import Contact, Edge

LEVELS = st.lists(st.tuples(st.booleans(), st.floats(0, 0.1)), max_size=40)


def _drain(contact: Contact, until: float) -> list[Edge]:
    edges = []
    while contact.deadline is not None and contact.deadline <= until:
        edge = contact.check(contact.deadline)
        assert edge is not None
        edges.append(edge)
    return edges


def test_a_press_counts_once_it_has_stood_and_carries_the_moment_it_began() -> None:
    contact = Contact(debounce_ms=20)
    assert contact.level(True, 1.0) is None
    assert contact.deadline == 1.02
    assert contact.check(1.019) is None
    assert contact.check(1.02) == Edge(True, 1.0)
    assert contact.down
    assert contact.deadline is None


def test_three_bounces_are_one_press() -> None:
    contact = Contact(debounce_ms=20)
    for down, t in [(True, 1.0), (False, 1.003), (True, 1.004), (False, 1.006), (True, 1.007)]:
        assert contact.level(down, t) is None
    assert contact.check(2.0) == Edge(True, 1.007)
    assert contact.check(3.0) is None


def test_a_spike_shorter_than_the_debounce_time_is_nothing() -> None:
    contact = Contact(debounce_ms=20)
    contact.level(True, 1.0)
    contact.level(False, 1.005)
    assert contact.deadline is None
    assert contact.check(2.0) is None


def test_a_late_loop_still_reports_a_press_and_its_release() -> None:
    contact = Contact(debounce_ms=20)
    contact.level(True, 1.0)
    assert contact.level(False, 1.3) == Edge(True, 1.0)
    assert contact.check(1.32) == Edge(False, 1.3)


def test_no_debounce_believes_at_once() -> None:
    contact = Contact(debounce_ms=0)
    assert contact.level(True, 1.0) == Edge(True, 1.0)
    assert contact.level(True, 1.1) is None
    assert contact.level(False, 1.2) == Edge(False, 1.2)


def test_a_swallowed_report_shows_when_the_pin_is_read_back() -> None:
    contact = Contact(debounce_ms=20)
    contact.level(True, 1.0)
    assert contact.check(1.02, seen=False) is None  # the contact had opened again, unreported: no phantom press
    contact.level(True, 2.0)
    assert contact.check(2.02, seen=True) == Edge(True, 2.0)
    assert contact.check(9.0, seen=False) is None  # the release was never reported
    assert contact.check(9.02) == Edge(False, 9.0)


@given(LEVELS, st.sampled_from([0.0, 5.0, 20.0, 50.0]))
def test_edges_alternate_in_time_and_the_last_level_wins(levels: list[tuple[bool, float]], debounce: float) -> None:
    contact = Contact(debounce_ms=debounce)
    t, edges = 0.0, []
    for down, wait in levels:
        t += wait
        edges += _drain(contact, t)
        edge = contact.level(down, t)
        edges += [edge] if edge else []
    edges += _drain(contact, t + 1)
    assert contact.down == (levels[-1][0] if levels else False)
    assert [edge.down for edge in edges] == [n % 2 == 0 for n in range(len(edges))]
    times = [edge.t for edge in edges]
    assert times == sorted(times)


@given(LEVELS)
def test_no_edge_for_a_level_that_did_not_stand(levels: list[tuple[bool, float]]) -> None:
    contact = Contact(debounce_ms=20)
    t = 0.0
    history = [(False, 0.0)]
    for down, wait in levels:
        t += wait
        if down != history[-1][0]:
            history.append((down, t))
        contact.level(down, t)
    long_enough = {
        since
        for (_, since), (_, until) in zip(history, [*history[1:], (False, t + 1)], strict=True)
        if until - since >= 0.02
    }
    replay = Contact(debounce_ms=20)
    for down, since in history[1:]:
        edge = replay.level(down, since)
        assert edge is None or edge.t in long_enough


@given(LEVELS)
def test_checking_often_and_checking_never_agree(levels: list[tuple[bool, float]]) -> None:
    def watch(*, often: bool) -> list[Edge]:
        contact, t = Contact(debounce_ms=20), 0.0
        edges: list[Edge | None] = []
        for down, wait in levels:
            t += wait
            if often:
                edges += _drain(contact, t)
            edges.append(contact.level(down, t))
        edges.append(contact.check(t + 1))
        return [edge for edge in edges if edge is not None]

    assert watch(often=True) == watch(often=False)


def test_a_time_that_runs_backwards_does_not_turn_edges_around() -> None:
    contact = Contact(debounce_ms=20)
    contact.level(True, 5.0)
    contact.check(5.1)
    contact.level(False, 4.0)
    edge = contact.check(6.0)
    assert edge == Edge(False, 5.0)
