"""`keybaton stop`: ends the agent, as before an update or when Keybaton goes."""

from __future__ import annotations

from keybaton_cli import output
from keybaton_cli.agent_end import end_agent
from keybaton_cli.framework import App, command, pass_app


@command("stop", examples=("keybaton stop",))
@pass_app
def stop(app: App) -> None:
    """End the agent and with it every share that runs; the keys leave memory. The next command starts it again."""
    pid = end_agent(app)
    if app.json:
        output.document({"stopped": pid is not None, "pid": pid})
    else:
        output.say("No agent is running." if pid is None else "Stopped.")
