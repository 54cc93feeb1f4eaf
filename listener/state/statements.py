"""The journal's statements of SQL that are longer than a line or used twice.

Owns the conditions under which a row changes. It executes nothing; journal.py alone uses it.
"""

from __future__ import annotations

from listener.model.entry import FIRE, UNSETTLED
from listener.model.notification import ENDED, OWN_EVENT_TYPES, STARTED
from listener.state.database import NOTABLE

DROPPABLE = ("pending", "failed", "interrupted", "unreadable")

NOTE = "INSERT INTO notes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
FORGET = "DELETE FROM notes WHERE name = ?"
NOTES = "SELECT name, value FROM notes WHERE instr(name, ?) = 1"
LAST_BEFORE = "SELECT id FROM entries WHERE received_at < ? ORDER BY id DESC LIMIT 1"
MILESTONES = f"""
    SELECT id, received_at, event_type, execution_id FROM entries
    WHERE id > ? AND event_type IN {(STARTED, *ENDED)} AND execution_id IS NOT NULL
    AND source != '{FIRE}' ORDER BY id LIMIT 1000"""  # noqa: S608
EVENTS = f"""
    event_type IS NOT NULL AND event_type NOT IN {OWN_EVENT_TYPES} AND source != '{FIRE}'
    ORDER BY id DESC LIMIT ?"""
INSERT = """
    INSERT INTO entries (received_at, source, state, body, key, serials, event_type, execution_id,
        rest_token, runs, error)
    VALUES (:received_at, :source, :state, :body, :key, :serials, :event_type, :execution_id,
        :rest_token, :runs, :error)
    ON CONFLICT DO NOTHING"""
SAME = "SELECT id FROM entries WHERE key = :key AND received_at = :received_at"
SAVE = """
    UPDATE entries SET state = :state, rest_token = :rest_token, runs = :runs
    WHERE id = :id AND received_at = :received_at AND state IN ('pending', 'running')"""
IS_SAVED = """
    SELECT id FROM entries
    WHERE id = :id AND received_at = :received_at AND state = :state AND runs = :runs"""
REOPEN = """
    UPDATE entries SET state = 'pending', runs = :new_runs
    WHERE id = :id AND received_at = :received_at AND state = :state AND runs = :runs"""
DROP = f"""
    UPDATE entries SET state = 'dropped', rest_token = NULL WHERE id = ? AND state IN {DROPPABLE}"""  # noqa: S608
UNSETTLED_OF = f"SELECT * FROM entries WHERE {NOTABLE} AND state IN {UNSETTLED} AND source = ?"  # noqa: S608
WITHDRAW = """
    UPDATE entries SET state = 'dropped', rest_token = NULL, key = NULL, error = ? WHERE id = ?"""
LAST_SERIALS = "SELECT serials FROM entries WHERE serials IS NOT NULL ORDER BY id DESC LIMIT 1"
COUNT = """
    INSERT INTO destinations (name, sent, acknowledged, failed, sent_at)
    VALUES (:name, :sent, :acknowledged, :failed, :sent_at)
    ON CONFLICT (name) DO UPDATE SET sent = sent + excluded.sent,
        acknowledged = acknowledged + excluded.acknowledged, failed = failed + excluded.failed,
        sent_at = max(sent_at, excluded.sent_at)"""
PRUNED_AT_ONCE = 200  # no event waits for more
IS_KEPT = f"""
    SELECT id, id > :beyond AND :now - received_at BETWEEN 0 AND :keep_s AS is_kept
    FROM entries WHERE id > :after ORDER BY id LIMIT {PRUNED_AT_ONCE}"""  # noqa: S608
PRUNE = f"""
    DELETE FROM entries WHERE id > :after AND id <= :last
    AND (id <= :beyond OR received_at <= :now) AND state NOT IN {UNSETTLED}"""  # noqa: S608
