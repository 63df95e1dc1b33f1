"""Waiting ends: by the awaited state, by the time-out, or by an error that waiting does not mend."""

from __future__ import annotations

import pytest

from controller.cli.wait import Patience, poll
from shared.errors import NotFoundError, TransportError, WaitTimeoutError


class Script:
    """Answers reads with a list of states; an exception in it is raised. The last entry is repeated."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.reads = 0

    def read(self, seconds: float) -> str:
        """Return or raise the next entry."""
        assert 0 < seconds <= 10
        answer = self.answers[min(self.reads, len(self.answers) - 1)]
        self.reads += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_it_reads_until_the_state_is_the_awaited_one_and_tells_each_answer() -> None:
    script = Script("pending", "running", "done")
    told: list[str] = []

    answer = poll(script.read, lambda state: state == "done", Patience(30, "it"), told.append)

    assert answer == "done"
    assert told == ["pending", "running", "done"]


def test_a_server_that_is_away_for_a_while_is_asked_again() -> None:
    script = Script("pending", TransportError("restarting"), TransportError("restarting"), "done")

    answer = poll(script.read, lambda state: state == "done", Patience(30, "it"))

    assert answer == "done"
    assert script.reads == 4


def test_time_up_is_an_error_that_says_what_was_awaited() -> None:
    script = Script("pending")

    with pytest.raises(WaitTimeoutError) as caught:
        poll(script.read, lambda state: state == "done", Patience(0.3, "rollout r-1"))

    assert "rollout r-1: 0.3 s are over" in caught.value.message
    assert script.reads >= 2


def test_time_up_while_the_server_is_away_tells_that_too() -> None:
    script = Script(TransportError("nothing listens there"))

    with pytest.raises(WaitTimeoutError, match="nothing listens there"):
        poll(script.read, lambda state: state == "done", Patience(0.3, "it"))


def test_no_patience_still_reads_once() -> None:
    assert poll(Script("done").read, lambda state: state == "done", Patience(0, "it")) == "done"


def test_an_error_that_waiting_does_not_mend_ends_it_at_once() -> None:
    script = Script(NotFoundError("no such schedule"))

    with pytest.raises(NotFoundError):
        poll(script.read, lambda state: state == "done", Patience(30, "it"))

    assert script.reads == 1
