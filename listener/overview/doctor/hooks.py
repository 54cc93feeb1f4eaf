"""hooks.conf, the files that it takes secrets from, and the plugins that it runs.

Owns what others could read there, and asks each plugin for its health. What `check` finds it hands on,
but for what `status` has said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from listener.interpreters.plugins.health import health_of
from listener.overview.doctor.facts import Facts
from listener.overview.finding import Finding, of_text
from listener.overview.judgement import judge


def judge_hooks(facts: Facts) -> Iterator[Finding]:
    hooks, standing = facts.hooks, facts.kept.standing
    told = [finding.what for finding in judge(standing)] if standing else []
    for mistake in hooks.mistakes:
        where = f"{hooks.config}, line {mistake.line}" if mistake.line else hooks.config
        cure = f"correct it, then conductor-hooks check {hooks.config}"
        finding = of_text(where, mistake.text, cure)
        if not any(finding.what.removeprefix("forward: ") in each for each in told):
            yield finding
    for file in dict.fromkeys(hooks.table.files) if hooks.table else ():
        with suppress(OSError):  # that it is not there is a mistake
            yield from _secret(file, os.stat(file).st_mode)
    for plugin in hooks.plugins:
        for problem in health_of(plugin).problems:
            upload = "upload it again with conductor-hooks plugins upload"
            yield Finding(f"plugin {plugin.name} {plugin.version}", problem, upload)


def _secret(file: str, mode: int) -> Iterator[Finding]:
    if mode & 0o022:
        what = "group or others may write this file, and so choose what hooks do"
        yield Finding(file, what, f"chmod go-w {file}")
    if mode & 0o004:
        what = "all users may read this file, whose content hooks.conf takes for a secret"
        yield Finding(file, what, f"chmod o-r {file}")
