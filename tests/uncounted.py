"""A pytest plugin, `-p tests.uncounted`: the lines of the processes that tests start are not counted.

To count takes as long as a verb does, and most of what these processes run is counted by other tests.
"""

from __future__ import annotations

import os

from tests.support import uncounted_env

for name in os.environ.keys() - uncounted_env().keys():
    del os.environ[name]
