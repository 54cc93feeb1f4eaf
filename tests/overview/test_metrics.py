"""The file of metrics, from a real listener, as node_exporter, promtool and a user's rules see it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from listener.dispatch.pauses import Pause, begin_pause
from listener.overview.textfile import Textfile
from listener.state.journal import Journal
from tests.listening import Site, frame, site_in
from tests.support import event, file_size_limit, require_program
from tests.test_app import ALARM, NOTE, PICKY
from tests.users import mode

ALERTS = Path(__file__).parents[2] / "listener/overview/alerts.yml"
SETTING = "metrics: hooks.prom"
NO_CLIENT = """
raise ModuleNotFoundError("No module named 'prometheus_client'", name="prometheus_client")
"""

ODD = 'o"dd\\'
"""As a label it needs escapes."""

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


@pytest.fixture
def prom(tmp_path: Path) -> Path:
    """Where SETTING has the file."""
    return tmp_path / "hooks.prom"


def samples(prom: Path) -> Samples:
    """Each value by its name, without our prefix, and the values of its labels."""
    return {
        (sample.name.removeprefix("conductor_hooks_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(prom.read_text())
        for sample in family.samples
    }


def tick(serial: int) -> bytes:
    return event("when:1", serial=serial, eventname="TICK_5")


def status(site: Site) -> Any:
    return json.loads(site.run("status", "--output", "json").stdout)


def checked(prom: Path) -> str:
    """What promtool finds wrong with the file."""
    command = [require_program("promtool"), "check", "metrics"]
    with prom.open() as file:
        result = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
    return result.stdout + result.stderr


def test_the_file_has_what_has_happened_and_what_status_shows(site: Site, prom: Path) -> None:
    note = NOTE.replace("'*'", "workflow_started").replace("name: h", f"name: {json.dumps(ODD)}")
    listener = site.start(note, PICKY, ALARM, settings=SETTING)
    listener.send(frame("e-1", serial=1) + frame("e-2", serial=2, event_type=ODD))
    listener.send(event("no json", serial=3))
    listener.wait_for_answers(3)
    with closing(Journal(str(site.state_dir))) as journal:
        begin_pause(journal, Pause("me", 7.0, ODD))
    listener.send(tick(4))
    listener.wait_for_answers(4)
    assert listener.end() == 0
    found, shown, entries = samples(prom), status(site), site.entries
    attempts = Counter(
        ("attempts_total", (run.hook, run.implementation, attempt.state))
        for entry in entries for run in entry.runs for attempt in run.attempts
    )  # fmt: skip
    assert {name for name in found if name[0] == "attempts_total"} == set(attempts)
    assert attempts.items() <= found.items()
    assert found["attempt_duration_seconds_count", (ODD,)] == 1
    assert found["entries_accepted_total", ("workflow_started", "supervisord")] == 1
    assert found["entries_accepted_total", ("other", "supervisord")] == 2
    for state in ("pending", "running", "failed", "interrupted", "unreadable"):
        assert found["entries", (state,)] == shown["entries"].get(state, 0)
    assert found["entries", ("pending",)] > 0
    assert found["entries_settled_total", ("unreadable",)] == 1
    assert found["entries_never_tried", ()] == shown["never_tried"]
    assert found["oldest_unsettled_age_seconds", ()] > 0
    assert found["gaps", ()] == shown["gaps"]
    for tally in shown["destinations"]:
        for field in ("sent", "acknowledged", "failed"):
            assert found[f"destination_{field}_total", (tally["destination"],)] == tally[field]
    assert found["pause_start_timestamp_seconds", (ODD,)] == 7.0
    assert [pause["hook"] for pause in shown["pauses"]] == [ODD]
    assert found["build_info", (shown["listener"]["version"],)] == 1
    assert found["config_last_reload_successful", ()] == 1
    assert found["last_tick_timestamp_seconds", ()] >= found["start_timestamp_seconds", ()]
    assert checked(prom) == ""


def test_it_is_written_at_the_end_and_a_new_listener_counts_anew(site: Site, prom: Path) -> None:
    first = site.start(NOTE, settings=SETTING)
    first.send(frame("e-1") + event("no json", serial=2))
    first.wait_for_answers(2)
    assert first.end() == 0
    before = samples(prom)
    assert before["attempts_total", ("h", "test_functions.note", "done")] == 1
    assert before["last_tick_timestamp_seconds", ()] == 0
    second = site.start(NOTE, settings=SETTING)
    second.send(tick(3))
    second.wait_for_answers(1)
    after = samples(prom)
    assert ("attempts_total", ("h", "test_functions.note", "done")) not in after
    assert after["entries", ("unreadable",)] == before["entries", ("unreadable",)] == 1
    assert after["start_timestamp_seconds", ()] > before["start_timestamp_seconds", ()]


def test_a_hooks_conf_that_is_not_in_force_shows(site: Site, prom: Path) -> None:
    listener = site.start(NOTE, settings=SETTING)
    listener.send(tick(1))
    listener.wait_for_answers(1)
    good = site.hooks_conf.read_text()
    for serial, text, is_good in ((2, "hooks: [", 0.0), (3, good, 1.0), (4, f"hooks: [{NOTE}]", 0.0)):
        site.hooks_conf.write_text(text)
        listener.send(tick(serial))
        listener.wait_for_answers(serial)
        assert samples(prom)["config_last_reload_successful", ()] == is_good
    found = samples(prom)
    reloaded_at = found["config_last_reload_success_timestamp_seconds", ()]
    assert reloaded_at > found["start_timestamp_seconds", ()]


def test_a_folder_that_cannot_be_written_is_one_warning_until_it_can(site: Site) -> None:
    listener = site.start(NOTE, settings="metrics: none/hooks.prom")
    listener.send(tick(1) + tick(2) + frame("e-1", serial=3))
    listener.wait_for_answers(3)
    (site.folder / "none").mkdir()
    listener.send(tick(4))
    listener.wait_for_answers(4)
    assert os.listdir(site.folder / "none") == ["hooks.prom"]
    assert listener.end() == 0
    path = site.folder / "none/hooks.prom"
    failed = f"WARNING metrics are not written: {path}: No such file or directory; let the listener's"
    assert listener.log.count(failed) == 1
    assert listener.log.count(f"INFO metrics are written again: {path}") == 1
    assert site.notes == ["e-1"]


@pytest.mark.parametrize("settings", ["", SETTING])
def test_only_the_setting_needs_prometheus_client(site: Site, prom: Path, settings: str) -> None:
    (site.folder / "prometheus_client.py").write_text(NO_CLIENT)
    listener = site.start(NOTE, settings=settings)
    listener.send(frame("e-1", serial=1) + tick(2))
    listener.wait_for_answers(2)
    checked = site.run("check")
    assert listener.end() == 0
    assert site.notes == ["e-1"]
    assert not prom.exists()
    lacks = "prometheus_client is not installed, which 'listener: metrics' needs; in the checkout, run"
    assert listener.log.count(f"ERROR no metrics are written: {lacks}") == bool(settings)
    assert (checked.returncode, lacks in checked.stdout) == (bool(settings), bool(settings))


def test_nobody_reads_half_of_a_file(prom: Path, caplog: pytest.LogCaptureFixture) -> None:
    texts = [b"a" * 5000, b"b" * 9000, b"c" * 9000]
    textfile = Textfile(str(prom), lambda _heard_at, _now: texts.pop(0))
    caplog.set_level("INFO")
    umask = os.umask(0o077)
    try:
        textfile.write(0.0)
    finally:
        os.umask(umask)
    assert mode(prom) == 0o644  # node_exporter is another user
    with prom.open("rb") as reader:
        begun = reader.read(10)
        with file_size_limit(7000):
            textfile.write(0.0)
        assert prom.read_bytes() == b"a" * 5000
        textfile.write(0.0)
        assert begun + reader.read() == b"a" * 5000
    assert prom.read_bytes() == b"c" * 9000
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_the_shipped_alerts_are_right_and_about_metrics_that_exist(site: Site, prom: Path) -> None:
    command = [require_program("promtool"), "check", "rules", str(ALERTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    listener = site.start(NOTE, settings=SETTING)
    listener.send(tick(1))
    listener.wait_for_answers(1)
    known = {f"conductor_hooks_{name}" for name, _ in samples(prom)}
    assert set(re.findall(r"expr: .*?(conductor_hooks_\w+)", ALERTS.read_text())) <= known
