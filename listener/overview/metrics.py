"""The metrics of the listener in Prometheus's text format.

Owns their names, which rules and dashboards of users have, and needs prometheus_client. It counts
nothing, and writes no file; textfile.py calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from listener.dispatch.pauses import Pause, in_force
from listener.hooks.watch import HooksFile
from listener.model.outcome import Tally
from listener.overview.counts import BUCKETS_S, CountingJournal, Counts, Labels
from listener.state.totals import Totals
from listener.supervisord.presence import Presence

_STATES = ("pending", "running", "failed", "interrupted", "unreadable")
_FINAL = ("done", "suppressed", "failed", "interrupted", "ignored", "unreadable", "dropped")

_Values = Mapping[Labels, float]
"""By the values of the labels; a metric without labels has one at ()."""


class Metrics:
    """Those of one listener."""

    def __init__(self, journal: CountingJournal, hooks_file: HooksFile, presence: Presence) -> None:
        self._journal = journal
        self._hooks_file = hooks_file
        self._presence = presence
        self._table = hooks_file.table
        self._reloaded_at = presence.began_at if hooks_file.table else 0.0

    def text(self, heard_at: float, now: float) -> bytes:
        """All of them at a Unix time; `heard_at` is when the last TICK_5 came, 0.0 if none has."""
        if self._hooks_file.table is not self._table:
            self._table, self._reloaded_at = self._hooks_file.table, now
        return generate_latest(
            _Found([
                *_about_listener(self._presence, heard_at),
                *_about_hooks_conf(self._hooks_file.problem, self._reloaded_at),
                *_counted(self._journal.counts),
                *_about_entries(self._journal.totals(now), now),
                _about_pauses(in_force(self._journal, now)),
                *_about_destinations(self._journal.tallies()),
            ])
        )  # fmt: skip


class _Found(Collector):
    """What prometheus_client takes metrics from."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _about_listener(presence: Presence, heard_at: float) -> Iterator[Metric]:
    yield _gauge("build_info", "The version that runs.", {(presence.version,): 1}, "version")
    yield _time("start", "When the listener began to work.", {(): presence.began_at})
    yield _gauge(
        "last_tick_timestamp_seconds",
        "When supervisord last sent a TICK_5, 0 if not since the start.",
        {(): heard_at},  # a listener that is started again and again must not look well
    )


def _about_hooks_conf(problem: str, reloaded_at: float) -> Iterator[Metric]:
    yield _gauge(
        "config_last_reload_successful",
        "Whether the newest hooks.conf is in force as a whole.",
        {(): not problem},
    )
    yield _time(
        "config_last_reload_success",
        "When the hooks that are in force were read.",
        {(): reloaded_at},
    )


def _counted(counts: Counts) -> Iterator[Metric]:
    settled: _Values = {**{(state,): 0 for state in _FINAL}, **counts.settled}
    yield _counter(
        "entries_accepted", "Notifications that were accepted.", counts.accepted, "event_type", "source"
    )
    yield _counter("entries_settled", "How often an entry had nothing left to do.", settled, "state")
    yield _counter(
        "attempts", "Attempts at hooks that have ended.", counts.attempts,
        "hook", "implementation", "outcome",
    )  # fmt: skip
    yield _durations(counts)
    yield _counter("retries", "Attempts that followed a failure.", counts.retries, "hook")
    yield _counter("suppressed_runs", "Runs above their at_most.", counts.suppressed, "hook")


def _durations(counts: Counts) -> Metric:
    family = HistogramMetricFamily(
        "conductor_hooks_attempt_duration_seconds", "How long attempts at hooks took.", labels=["hook"]
    )
    ends = [*map(str, BUCKETS_S), "+Inf"]
    for hook, durations in counts.durations.items():
        buckets = list(zip(ends, accumulate(durations.numbers), strict=True))
        family.add_metric([hook], buckets, durations.sum_s)
    return family


def _about_entries(totals: Totals, now: float) -> Iterator[Metric]:
    states: _Values = {(state,): totals.by_state.get(state, 0) for state in _STATES}
    age_s = 0.0 if totals.oldest_at is None else max(0.0, now - totals.oldest_at)
    yield _gauge("entries", "Entries in the journal that wait or went wrong.", states, "state")
    yield _gauge("entries_never_tried", "Pending entries without an attempt.", {(): totals.untried})
    yield _gauge(
        "oldest_unsettled_age_seconds", "Age of the oldest entry that waits, 0 if none.", {(): age_s}
    )
    yield _gauge(
        "gaps", "How often in the last 24 hours supervisord had discarded events.", {(): totals.gaps}
    )


def _about_pauses(pauses: Iterable[Pause]) -> Metric:
    values: _Values = {(pause.hook,): pause.since for pause in pauses}
    return _time("pause_start", "Since when a hook is paused; without a name, all are.", values, "hook")


def _about_destinations(tallies: Mapping[str, Tally]) -> Iterator[Metric]:
    what = (
        ("sent", "Notifications that were sent to a destination."),
        ("acknowledged", "Notifications that a destination has acknowledged."),
        ("failed", "Notifications that failed to get to a destination."),
    )
    for field, text in what:
        values: _Values = {(name,): getattr(tally, field) for name, tally in tallies.items()}
        yield _counter(f"destination_{field}", text, values, "destination")
    yield _time(
        "destination_last_success",
        "When a notification was last sent to a destination.",
        {(name,): tally.sent_at for name, tally in tallies.items()},
        "destination",
    )


def _counter(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _with(CounterMetricFamily(f"conductor_hooks_{name}", text, labels=labels), values)


def _gauge(name: str, text: str, values: _Values, *labels: str) -> Metric:
    return _with(GaugeMetricFamily(f"conductor_hooks_{name}", text, labels=labels), values)


def _time(name: str, text: str, values: _Values, *labels: str) -> Metric:
    """A gauge of Unix times, without those that are not known."""
    known = {key: at for key, at in values.items() if at}
    return _gauge(f"{name}_timestamp_seconds", text, known, *labels)


def _with(family: CounterMetricFamily | GaugeMetricFamily, values: _Values) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
