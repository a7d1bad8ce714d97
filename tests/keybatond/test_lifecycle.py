"""How the agent ends."""

from __future__ import annotations

from typing import Any

from keybaton_testing.fake_clock import FakeClock
from keybatond import lifecycle
from keybatond.lifecycle import Agent
from keybatond.logs import AgentLog


async def test_a_step_of_the_end_that_fails_keeps_no_other_from_being_done() -> None:
    """The server stops, and the keys go, though the shares could not be closed; the log says where it failed."""
    done: list[str] = []
    lines: list[str] = []

    class Server:
        async def stop(self, grace: float) -> None:
            done.append("server")

    def step(name: str, *, fails: bool = False) -> Any:
        async def close() -> None:
            done.append(name)
            if fails:
                raise RuntimeError("hunter2")

        return close

    agent = Agent(
        server=Server(),  # type: ignore[arg-type]
        services={},
        log=AgentLog(lines.append),
        clock=FakeClock(),
        background=(),
        later=(),
        end_streams=(lambda: done.append("streams"),),
        close=(step("shares", fails=True), step("ssh", fails=True), step("keys")),
    )
    await lifecycle._stop(agent, [])
    assert done == ["streams", "shares", "server", "ssh", "keys"]
    assert [line for line in lines if "close failed" in line and "test_lifecycle.py" in line]
    assert "stopped" in lines[-1]
    assert "hunter2" not in "".join(lines)
