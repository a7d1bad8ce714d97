"""How generated tests choose their examples: the same in every run, unless `make fuzz` asks for new ones."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No limit on the time of one example: a busy machine is no failure.
_ANYWHERE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("repeatable", derandomize=True, **_ANYWHERE)
settings.register_profile("new-examples", derandomize=False, **_ANYWHERE)
settings.load_profile("repeatable")
