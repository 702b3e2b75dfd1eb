"""given(events).when(command).then(events): a decider's promises read as sentences, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.envelope import Payload
from shared.engine.decider import Command, Decider, Refused


class Spec:
    """What has happened, what is asked, what must follow."""

    def __init__(self, decider: Decider[Any], *history: Payload) -> None:
        self._decider = decider
        self.state = decider.fold(history)
        self._command: Command | None = None

    def when(self, command: Command) -> Spec:
        self._command = command
        return self

    def then(self, *expected: Payload) -> None:
        """Exactly these events follow; none means that nothing happens."""
        assert list(self.decided()) == list(expected)

    def then_refused(self, code: str) -> None:
        """The command is refused with this code."""
        with pytest.raises(Refused) as refusal:
            self.decided()
        assert refusal.value.code == code

    def decided(self) -> Any:
        assert self._command is not None
        return self._decider.decide(self._command, self.state)

    def state_after(self) -> Any:
        """The state once the command's events have happened."""
        return self._decider.fold(self.decided(), self.state)


def given(decider: Decider[Any], *history: Payload) -> Spec:
    return Spec(decider, *history)
