"""The section file of supervisord as an operator has it who takes over from a manager's worker.

Owns what the README says to do with the shipped one. It starts nothing. Tests with a real supervisord
call it.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

from listener.cli.shipped import shipped

_FORWARDER = ";[program:conductor-forwarder]"


def section_with_forwarder(hooks_conf: Path) -> str:
    """The shipped file with its forwarder uncommented, for this hooks.conf and our own user."""
    text = shipped("supervisor.d/conductor-hooks.conf").read_text()
    listener, _, forwarder = text.partition(_FORWARDER)
    uncommented = re.sub("^;(?! )", "", _FORWARDER + forwarder, flags=re.MULTILINE)
    user = pwd.getpwuid(os.geteuid()).pw_name
    path = "/opt/mgmtworker/config/hooks.conf"
    return listener + uncommented.replace(path, str(hooks_conf)).replace("cfyuser", user)
