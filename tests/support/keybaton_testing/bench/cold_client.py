"""One client's first call where no agent runs; prints the seconds. Run by the wheel's Python, which starts the wheel's agent."""

from __future__ import annotations

import os
import time

from keybaton_client.start import ensure_agent
from keybaton_hot.unary import connect

GET_INFO = "/keybaton_api.agent.v1.AgentService/GetInfo"
_SECONDS = 15.0

if __name__ == "__main__":
    start = time.perf_counter()
    channel = connect(ensure_agent(os.environ), _SECONDS)
    channel.call(GET_INFO, b"", _SECONDS)
    print(time.perf_counter() - start)
    channel.close()
