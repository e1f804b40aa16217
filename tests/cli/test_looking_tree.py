"""The joined tree of actors and tasks: everything in its place, nothing drowned, nothing obeyed."""

from __future__ import annotations

import pytest

from actors import mailbox as actors_mailbox
from server.cli.looking.answers import Actors, Details, Message, Origin, Task
from server.cli.looking.join import circles, find, join, only_tasks
from server.cli.looking.tree_view import Options, tree_view

from .looking_answers import (
    HOST,
    UUID,
    Json,
    actor,
    actors,
    coloured,
    frame,
    gone,
    message,
    plain,
    task,
    tree,
    wait,
)


def shown(found: Actors, root: Task, options: Options | None = None, *, gone: bool = False) -> list[str]:
    """The lines of the tree, without the summary above it."""
    node = join(found, root, gone=gone)
    return plain(tree_view(node, found, options or Options(), HOST)).splitlines()[1:]


def connections(count: int) -> tuple[list[Json], Json]:
    """So many actors and the task they are in."""
    found = [actor(f"t/{UUID.format(number)}", "Connection") for number in range(count)]
    return found, task("lifespan", *(task(f"actor {one['address']}") for one in found))


def test_an_actor_is_told_on_its_line() -> None:
    """State and since when, what it handles and why, its mailbox, and what went wrong."""
    found = actors(
        actor(
            "t",
            state="handling",
            since=3.2,
            handling=message("GetStatistics", age=3.4, origin=9, name="GET /api"),
            queued=7,
            oldest=3.0,
            restarts=2,
            dropped=1,
            rejected=2,
            crashes=[{"ago": 60.0, "error": "ValueError('x')", "kind": "Join", "cause": 16}],
        )
    )

    assert shown(found, tree(task("actor t"))) == [
        "<Init>",
        "└── t Registry · handling 3.2 s GetStatistics (sent 3.4 s ago; from #9 GET /api)"
        " · mailbox 7/256 (peak 3), oldest 3.0 s · restarts 2 · lost 3",
        "      crashed 60 s ago: ValueError('x') at Join",
    ]


def test_actors_stand_where_their_tasks_do() -> None:
    """With their helpers below them, and what is no actor's in its own place."""
    found = actors(actor("t", "Root"), actor("t/a", "A"), actor("t/a/b/c#1", "B"))
    root = tree(
        task(
            "http",
            task(
                "lifespan",
                task("actor t: life"),
                task("actor t/a", task("actor t/a/b/c#1"), task("actor t/a: timer Tick")),
            ),
            task("listener connection 127.0.0.1:5000", task("websocket /x")),
        )
    )

    assert [line.partition(" · ")[0] for line in shown(found, root)] == [
        "<Init>",
        "└── http",
        "    ├── lifespan",
        "    │   └── t Root",
        "    │       ├── task life",
        "    │       └── a A",
        "    │           ├── b/c#1 B",
        "    │           └── task timer Tick",
        "    └── listener connection 127.0.0.1:5000",
        "        └── websocket /x",
    ]


def test_two_answers_need_not_agree() -> None:
    """An actor that ended in between has no task any more; of one that began, only the task is known."""
    found = actors(actor("t", "Root"), actor("t/old", "Old"))

    assert [
        line.partition(" · ")[0] for line in shown(found, tree(task("actor t", task("actor t/just"))))
    ] == [
        "<Init>",
        "└── t Root",
        "    ├── just began just now",
        "    └── old Old",
    ]


def test_what_is_alike_is_folded_and_what_is_not_is_seen() -> None:
    """Among 500 idle connections the one that is stuck must catch the eye."""
    found, root = connections(500)
    found[77].update(state="handling", since=4.2, handling=message("Deliver"), queued=200)
    lines = shown(actors(*found), tree(root))

    assert len(lines) == 7
    assert lines[5].endswith("… 496 more idle Connection")
    assert UUID.format(77) in lines[6]


def test_of_what_is_alike_the_worst_are_shown() -> None:
    """Which three stand for five hundred is no accident."""
    found, root = connections(500)
    for number, one in enumerate(found):
        one.update(state="handling", since=float(number), handling=message("Deliver"))
    lines = shown(actors(*found), tree(root))

    assert [UUID.format(n) in line for n, line in zip((497, 498, 499), lines[2:5], strict=True)] == [True] * 3
    assert lines[5].endswith("… 497 more Connection handling Deliver")


def test_listener_connections_are_folded_with_all_below_them() -> None:
    """Their names differ in a port only."""
    root = tree(*(task(f"listener connection 127.0.0.1:{n}", task("websocket /x")) for n in range(9)))

    assert shown(actors(), root)[-1] == "└── … 6 more listener connection *"


def test_all_unfolds() -> None:
    """Somebody may want to search the output."""
    found, root = connections(50)

    assert len(shown(actors(*found), tree(root), Options(unfold=True))) == 52


def test_whose_stack_is_wanted_is_not_folded() -> None:
    """It was asked for by name; all of its stack is shown, and nobody else's."""
    found, root = connections(50)
    stack = tuple(frame("/srv/app/a/b.py", number) for number in range(9))
    for child in root["children"]:
        child["stack"] = stack
    address = f"t/{UUID.format(31)}"
    lines = shown(actors(*found), tree(root), Options(stacks_of=[address]))

    assert sum("b.py" in line for line in lines) == 9
    assert lines[5].strip("│├└─ ").startswith(address)
    assert "app/a/b.py:0 run await trio.sleep(1)" in lines[6]


def test_stacks_are_short_unless_asked_for_whole() -> None:
    """The innermost lines tell what a task waits for."""
    stack = tuple(frame("/x/lib/python3.11/site-packages/lib/b.py", number) for number in range(9))
    lines = shown(actors(), tree(task("http", stack=stack)), Options(stacks=True))

    assert [line.split()[0] for line in lines[2:]] == ["lib/b.py:6", "lib/b.py:7", "lib/b.py:8"]


def test_a_short_stack_has_the_line_that_is_no_librarys() -> None:
    """However deep in libraries it waits, that line tells what for."""
    deep = tuple(frame("/x/lib/python3.11/site-packages/lib/b.py", number) for number in range(9))
    stack = (frame("/srv/bots/a.py", 1), frame("/srv/bots/a.py", 2), *deep)
    lines = shown(actors(), tree(task("http", stack=stack)), Options(stacks=True))

    assert [line.split()[0] for line in lines[2:]] == ["srv/bots/a.py:2", "…", "lib/b.py:7", "lib/b.py:8"]


def test_that_an_actor_waits_for_messages_needs_no_stack() -> None:
    """Nearly all of them do nearly always; its helpers are shown."""
    mailbox = frame(actors_mailbox.__file__, 226, "Mailbox.wait")
    helper = task("actor t/a: write", stack=(frame("/srv/bots/a.py"),))
    root = tree(task("actor t/a", helper, stack=(mailbox, frame("/x/site-packages/trio/_channel.py"))))
    lines = shown(actors(actor("t/a")), root, Options(stacks=True))

    assert [line.strip("│├└─ ").split()[0] for line in lines[1:]] == ["t/a", "task", "srv/bots/a.py:1"]


def test_what_else_an_actor_tells_is_shown_with_its_stack() -> None:
    """Its attributes, and what it handled lately because of what."""
    said = Message("Say", 9, 0, Origin(7, "message frame", {"connection": "c1"}), "", 2.0, 0.003)
    details = Details((said,), {"_id": "2", "_reply_to": "actor t/b"})
    options = Options(stacks_of=["t/a"], details={"t/a": details})
    lines = shown(actors(actor("t/a")), tree(task("actor t/a", stack=(frame("/srv/bots/a.py"),))), options)

    assert [line.strip() for line in lines[2:4]] == [
        "has _id: 2, _reply_to: actor t/b",
        "handled Say (sent 2.0 s ago, took 3 ms; from #7 message frame) connection=c1",
    ]
    assert "srv/bots/a.py:1" in lines[4]


def test_a_wait_is_told_below_who_waits() -> None:
    """Whom it waits for, for what, since when; whether it is itself or a task beside its handler."""
    found = actors(
        actor("t/a", state="waiting", handling=message("Join"), waits=[wait("t/a", "t/b")]),
        actor("t/b", waits=[wait("t/b: tell", "t/c", what="room", kind="Deliver")]),
    )
    lines = shown(found, tree(task("actor t/a"), task("actor t/b")))

    assert lines[1].startswith("├── t/a Registry · waiting 1.2 s Join")
    assert lines[2] == "│     waits for t/b: answer to GetStatistics, 3.2 s"
    assert lines[4] == "      task tell waits for t/c: room for Deliver, 3.2 s"


def test_a_circle_of_waits_is_marked_in_red() -> None:
    """Nothing in it will ever go on; one that only waits for it is another matter."""
    found = actors(
        actor("t/a", waits=[wait("t/a", "t/b")]),
        actor("t/b", waits=[wait("t/b", "t/a")]),
        actor("t/c", waits=[wait("t/c", "t/a")]),
    )
    node = join(found, tree(task("actor t/a"), task("actor t/b"), task("actor t/c")))
    lines = coloured(tree_view(node, found, Options(), HOST)).splitlines()

    assert ["\x1b[1;31m" in line for line in lines if "waits for" in line] == [True, True, False]
    assert "circle of waits: t/a → t/b → t/a" in lines[-1]


@pytest.mark.parametrize(("seconds", "found"), [(3.2, [["a", "b"]]), (0.2, [])])
def test_a_circle_through_tasks_is_one_if_it_lasts(seconds: float, found: list[list[str]]) -> None:
    """The runtime can't refuse it, and a person can't see it otherwise; a chance meeting is none."""
    edges = [wait("a: compute", "b"), wait("b", "a"), wait("c: look", "a")]
    waits = actors(actor("t", waits=[{**edge, "seconds": seconds} for edge in edges])).actors[0].waits

    assert circles(waits) == found


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ("", []),
        ("ab bc", []),
        ("aa", ["a"]),
        ("ab ba", ["ab"]),
        ("bc ca ab", ["abc"]),
        ("xa ab ba", ["ab"]),
        ("ab ba cd dc ac", ["ab", "cd"]),
        ("ax ab bx ba", ["ab"]),
    ],
)
def test_every_circle_is_found_once(edges: str, found: list[str]) -> None:
    """Wherever one begins to look."""
    waits = [one for edge in edges.split() for one in actors(actor("t", waits=[wait(*edge)])).actors[0].waits]

    assert sorted("".join(circle) for circle in circles(waits)) == found


def test_those_gone_lately_stand_where_they_were() -> None:
    """On request: what they ended of, and how long they lived."""
    found = actors(
        actor("t", "Root"),
        gone=(gone("t/reply-1"), gone("t/x/y", "Connection", "crashed: ValueError('x')")),
    )
    root = tree(task("actor t"))

    assert len(shown(found, root)) == 2
    assert shown(found, root, gone=True)[2:] == [
        "    ├── reply-1 Reply · gone (stopped: finished) 2.0 s ago · handled 3, lived 1.5 s",
        "    └── x/y Connection · gone (crashed: ValueError('x')) 2.0 s ago · handled 3, lived 1.5 s",
    ]


def test_who_held_the_loop_lately_is_told_below() -> None:
    """While it is held nothing is answered, so one can only see it afterwards."""
    hold = {"ago": 3.0, "seconds": 0.14, "actor": "t/a", "note": "computing", "stack": [frame("/s/a/b/c.py")]}
    old = {**hold, "ago": 300.0}
    found = actors(actor("t"), holds={"total": 2, "recent": [old, hold]})

    assert shown(found, tree(task("actor t")))[2:] == [
        "loop held for 140 ms, 3.0 s ago by t/a at a/b/c.py:1 run await trio.sleep(1) (computing)"
    ]


def test_of_many_gone_the_last_are_shown() -> None:
    """What went wrong a moment ago is asked about more often than what was an hour ago."""
    old = [{**gone(f"t/reply-{number}"), "ago": 60.0 - number} for number in range(9)]
    lines = shown(actors(actor("t"), gone=tuple(old)), tree(task("actor t")), gone=True)

    assert [line.split()[1] for line in lines[2:]] == ["reply-6", "reply-7", "reply-8", "…"]


def test_a_tree_begins_at_an_actor_with_its_whole_address() -> None:
    """Only what is below it is shown and counted."""
    found = actors(actor("t", "Root"), actor("t/a", "A"), actor("t/a/b", "B"))
    node = join(found, tree(task("actor t", task("actor t/a", task("actor t/a/b")))))
    view = tree_view(node.children[0].children[0], found, Options(), HOST)

    assert [line.partition(" · mailbox")[0] for line in plain(view).splitlines()] == [
        f"{HOST} · 2 actors · 2 tasks · 0 waits · 0 dead letters · 0 loop holds",
        "t/a A · idle 1.2 s",
        "└── b B · idle 1.2 s",
    ]


def test_trio_s_own_tree_is_to_be_had() -> None:
    """As it is, by the tasks' names."""
    root = tree(task("lifespan", task("actor t/a", task("actor t/a: write"))))
    lines = plain(tree_view(only_tasks(root), actors(), Options(joined=False), HOST)).splitlines()

    assert lines[1:] == ["<Init>", "└── lifespan", "    └── actor t/a", "        └── task write"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("t/a", ["t/a"]),
        ("a", ["t/a"]),
        ("3f2c9a1b", [f"t/a/{UUID.format(5)}"]),
        ("a/3f2c9a1b…0005", [f"t/a/{UUID.format(5)}"]),
        ("t/", ["t/a", f"t/a/{UUID.format(5)}", "t/.*"]),
        (".*", ["t/.*"]),
        ("z", []),
    ],
)
def test_an_actor_is_found_by_a_part_of_its_address(wanted: str, found: list[str]) -> None:
    """As `top` prints it; nobody wants to type a UUID."""
    assert find(["t/a", "t/a", f"t/a/{UUID.format(5)}", "t/.*"], wanted) == found


def test_nothing_of_others_reaches_the_terminal_as_an_order() -> None:
    """Names and texts come from clients and their code: no escape codes, no markup, no second line."""
    evil = "\x1b]0;pwned\x07[red]x[/]\n\u202e\x9b31m:smile:"
    found = actors(
        actor(
            f"t/{evil}",
            evil,
            state=evil,
            handling=message(evil, name=evil),
            waits=[{**wait(f"t/{evil}", f"t/{evil}", what=evil, kind=evil)}],
            crashes=[{"ago": 1.0, "error": evil, "kind": evil, "cause": 0}],
        ),
        gone=(gone(evil, evil, evil),),
    )
    root = tree(task(f"x {evil}", stack=(frame(evil, function=evil, code=evil),)), task(f"actor t/{evil}"))
    text = coloured(tree_view(join(found, root, gone=True), found, Options(stacks=True), evil), width=1000)

    assert "[red]x[/]" in text
    assert ":smile:" in text
    assert not {"\x1b]", "\x07", "\u202e", "\x9b"} & set(text)
    assert "\x1b]" not in text
    assert len(text.splitlines()) == 9
