"""What all tests share: whatever started them, and whatever the machine that they run on has."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.functions import make_action
from tests.handmade_plugins import cloudify_packages, fabric_packages
from tests.wagons import made, state

__all__ = ["cloudify_packages", "fabric_packages", "made", "make_action", "state"]

# No machine is too slow to be right.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

# In the background of a shell it is ignored, and whatever a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_HOOKS_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _output_of_hooks(caplog: pytest.LogCaptureFixture) -> None:
    """At every level, as in a listener that says nothing else."""
    caplog.set_level(logging.DEBUG, "listener.interpreters.output")
