import threading

from lorafleet.console.objects.reachability import Reachability


class Server:
    """Answers, refuses or hangs, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.dead = False
        self.hold = threading.Event()
        self.hold.set()
        self.answered = threading.Event()
        self.now = 0.0

    def probe(self) -> None:
        self.asked += 1
        dead = self.dead
        self.hold.wait()
        self.answered.set()
        if dead:
            raise ConnectionError

    def clock(self) -> float:
        return self.now


def watched(server: Server, patience: float = 30.0) -> Reachability:
    return Reachability(server.probe, patience=patience, fresh=1.0, again=3.0, clock=server.clock)


def settled(reach: Reachability, server: Server, wanted: bool) -> bool:
    """Whether the probe in the background has brought the wanted news."""
    assert server.answered.wait(30)
    for thread in threading.enumerate():
        if thread.name == "store probe":
            thread.join(30)
    return reach.ask() is wanted


def test_a_sign_of_life_counts_for_a_while() -> None:
    server = Server()
    reach = watched(server)
    assert reach.ask()
    server.now = 0.9
    assert reach.ask()
    assert server.asked == 1
    server.now = 1.1
    assert reach.ask()
    assert server.asked == 2


def test_a_dead_one_is_waited_for_once() -> None:
    server = Server()
    server.hold.clear()
    reach = watched(server, patience=0.05)
    assert reach.ask() is False
    for _ in range(100):
        assert reach.ask() is False
    assert server.asked == 1
    server.now = 3.1
    # The first probe still hangs: no second one piles up behind it.
    assert reach.ask() is False
    assert server.asked == 1
    server.hold.set()
    assert settled(reach, server, True)


def test_a_refusal_is_believed_at_once_and_asked_again_in_the_background() -> None:
    server = Server()
    server.dead = True
    reach = watched(server)
    assert reach.ask() is False
    server.dead = False
    assert reach.ask() is False
    assert server.asked == 1
    server.answered.clear()
    server.now = 3.1
    reach.ask()
    assert settled(reach, server, True)
    assert server.asked == 2


def test_somebody_else_finds_it_dead() -> None:
    server = Server()
    reach = watched(server)
    assert reach.ask()
    reach.failed("silence")
    assert reach.ask() is False
    assert server.asked == 1
    assert reach.reason == "silence"


def test_several_are_waited_for_together() -> None:
    servers = [Server() for _ in range(3)]
    for server in servers:
        server.hold.clear()
    reaches = [watched(server) for server in servers]
    assert all(reach.begin() is not None for reach in reaches)
    assert [reach.ask(patience=0.01) for reach in reaches] == [False] * 3
    assert [server.asked for server in servers] == [1] * 3
    assert reaches[0].reason == "it does not answer in time"
    for server in servers:
        server.hold.set()


def test_many_who_ask_at_once_share_a_probe() -> None:
    server = Server()
    server.hold.clear()
    reach, answers = watched(server), list[bool]()
    threads = [threading.Thread(target=lambda: answers.append(reach.ask())) for _ in range(10)]
    for thread in threads:
        thread.start()
    server.hold.set()
    for thread in threads:
        thread.join()
    assert answers == [True] * 10
    assert server.asked == 1
