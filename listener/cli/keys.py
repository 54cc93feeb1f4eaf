"""What each key of hooks.conf means, and the verb keys, which prints it.

Owns the words alone. What a key may be stands in the tables that read hooks.conf; schema.py puts both
together for editors, and fails for a key that has no words here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import click

from listener.actions.registry import TRAP

_WIDTH = 100


class Key(NamedTuple):
    """What a key means, and what holds without it; `default` is '' where there is nothing to say."""

    meaning: str
    default: str = ""

    @property
    def in_words(self) -> str:
        """Both, as --help has an option's."""
        if not self.default:
            return f"{self.meaning}."
        is_required = self.default.startswith("required")
        return f"{self.meaning}.  [{self.default if is_required else f'default: {self.default}'}]"


KEYS: Mapping[str, Mapping[str, Key]] = {
    "hooks": {
        "event_type": Key(
            "workflow_queued, workflow_started (a resumed one, too), workflow_succeeded,"
            ' workflow_failed, workflow_cancelled; a list of them; "*" for all of them; or one of our'
            " own: hook_failed, hook_suppressed, workflow_overdue",
            "required",
        ),
        "implementation": Key(
            f"what runs. Built in are {TRAP} (see 'trap'), command, webhook and notify. Else the name"
            " of an installed action; plugin-name.module.function, a task of a managed plugin;"
            " module.function, a function",
            "required",
        ),
        "inputs": Key("its keyword arguments; a date becomes its ISO text"),
        "when": Key("conditions, all of which must hold: see 'when'", "always"),
        "name": Key(
            "its name in the log and the history. A named hook keeps its retries when you correct it,"
            " an unnamed one while implementation and inputs stay",
            "event-position",
        ),
        "timeout": Key(
            "seconds for one attempt, at most a day. Then the function and all programs that it started"
            " get SIGTERM, and SIGKILL 2 seconds later",
            "60",
        ),
        "retries": Key(
            "further attempts after a failure: the first within 1 second, the next within 2, 4, 8 …"
            " seconds, at most 300, unless the error says otherwise",
            "0",
        ),
        "repeatable": Key(
            "true: run it again when the listener was killed while it ran; false: record it as"
            " interrupted",
            "false; of traps true",
        ),
        "fresh": Key("true: a new interpreter for each call of a function or task", "false"),
        "at_most": Key(
            "10 per 5m: further runs within any 5 minutes are suppressed; 10 per 5m per deployment_id:"
            " for each value of a field of 'when'",
            "no limit",
        ),
        "after": Key(
            "90s, 5m, 2h, 1d: how long an execution has no end when a hook on workflow_overdue runs",
            "required there",
        ),
        "enabled": Key("false: the hook never runs", "true"),
        "description": Key("a comment"),
    },
    "when": {
        "tenant_name": Key(
            'a pattern as the shell has it, in the right case: acme, "prod-*"; !regex "…": a regular'
            " expression that is searched for; a list: any of its values; null: the field is absent"
        ),
        "deployment_id": Key("likewise"),
        "blueprint_id": Key("likewise"),
        "workflow_id": Key("likewise"),
        "execution_id": Key("likewise"),
        "timestamp": Key("likewise: the notification's text"),
        "event_type": Key("likewise, for a hook on several"),
        "message_type": Key("likewise"),
        "is_system_workflow": Key("true or false"),
        "hook": Key("of hook_failed and hook_suppressed: the other hook's name"),
        "error": Key("of hook_failed: why the last attempt failed"),
        "attempts": Key("of hook_failed: how many there were"),
        "execution_parameters.x": Key(
            "a parameter; x.nodes.0 goes into mappings and lists. Numbers, true and false must be equal"
        ),
        "not": Key("what does not fulfil all conditions of this mapping"),
        "any": Key("what fulfils at least one mapping of this list"),
        "during": Key(
            '"Mon-Fri 18:00-08:00 Europe/Berlin" or a list of such: days, times or both, in UTC unless'
            " a zone is named. A night belongs to the day that it begins on. The time is that of the"
            " receipt, also in a replay, not the notification's timestamp"
        ),
    },
    "tags": {
        "!env NAME": Key("the environment variable; !env [NAME, default] if it may be missing"),
        "!file PATH": Key(
            "the file's text without its last newline, never shown. When it changes, touch hooks.conf"
        ),
        "!regex TEXT": Key("a regular expression, within 'when'"),
        "!template TEXT": Key(
            "within 'inputs': a Jinja template, filled in at each attempt. It knows what a function's"
            " context has, text (the notification's) and entry_id; of hook_failed also hook, error and"
            " attempts, of hook_suppressed hook, count, since and until, of workflow_overdue started_at"
            " and overdue_s. An absent field is empty, an unknown"
            " one fails the hook for good. It may have if, for (not nested, at most 1000 items), no"
            " calls, and the filters default, join, replace, tojson, truncate, upper, lower,"
            " capitalize, trim, first, last, length, items, string, urlencode. It gives at most"
            " 65536 characters"
        ),
    },
    "trap": {
        "destination_address": Key(
            "a name or an address; a link-local one with its zone: fe80::1%eth0", "required"
        ),
        "destination_port": Key("the receiver's UDP port", "required"),
        "source_address": Key(
            "the address of this host to send from; receivers know senders by it", "the route's"
        ),
        "community_string": Key("the community of version 2c", "required in 2c"),
        "version": Key("2c or 3", "2c"),
        "notify": Key("trap, or inform, which the receiver acknowledges", "trap"),
        "timeout": Key("seconds that one try of an inform waits", "1"),
        "retries": Key("further tries of an inform; all must fit into the hook's timeout", "5"),
        "layout": Key(
            "conductor: the original's order and objects; mib: the MIB's order, and instances (.0);"
            " control characters and line ends become spaces",
            "conductor",
        ),
        "user": Key("the user of version 3", "required in 3"),
        "auth_protocol": Key("MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512"),
        "auth_key": Key("its pass phrase, 8 characters or more; take it from a !file"),
        "priv_protocol": Key("DES, AES, AES-192 or AES-256"),
        "priv_key": Key("its pass phrase, likewise"),
        "context_name": Key("the context of version 3", "empty"),
        "engine_id": Key("the engine ID of a trap's sender, in hexadecimal", "this host's"),
        "destinations": Key(
            "several receivers: each an address, or a mapping of the inputs that differ", "one"
        ),
    },
    "webhook": {
        "url": Key("http://… or https://…; the log and the history show no path of it", "required"),
        "method": Key("POST, PUT, PATCH or GET", "POST"),
        "headers": Key("a mapping of names to texts"),
        "body": Key("a text, sent as it stands, or a value, sent as JSON", "a CloudEvent"),
        "secret": Key(
            "signs as Standard Webhooks has it: whsec_ and base64, or any text", "no signature"
        ),
        "ca": Key("the file of the CAs to trust", "the system's"),
        "cert": Key("the file of our certificate, if the server asks for one"),
        "key": Key("the file of its key"),
        "proxy": Key("http://user:password@host:port; the environment's is not used"),
    },
    "notify": {
        "urls": Key("a URL as Apprise has it, or a list; a text may have one a line", "required"),
        "title": Key("a text", "made from the notification"),
        "body": Key("a text", "made from the notification"),
    },
    "command": {
        "argv": Key("the program and its arguments; no shell reads them", "required"),
        "env": Key("variables to add to the listener's environment"),
        "cwd": Key("the folder to start in", "the listener's"),
        "retry_on": Key("exit statuses that retries follow, beside 75 and the end by a signal"),
    },
    "tests": {
        "event": Key("an event type, or a mapping with event_type and the fields of --set", "required"),
        "at": Key("the time for 'during'; UTC unless it says more", "now"),
        "runs": Key("these hooks and no others", "not tested"),
        "runs_not": Key("not these hooks", "not tested"),
    },
    "listener": {
        "state_dir": Key("the state directory", "/var/lib/conductor-hooks"),
        "durability": Key(
            "process: the journal outlives any process; power: a loss of power, too, at two waits for"
            " the disk for an event with one hook",
            "process",
        ),
        "keep_days": Key(
            "days that the journal keeps an entry with nothing left to do; age counts only while the"
            " system's clock has not jumped for an hour",
            "30",
        ),
        "keep_entries": Key("entries that it keeps at most", "1000000"),
        "wait_for_retries": Key(
            "seconds that a notification waits at most for retries of an earlier notification of its"
            " execution",
            "900",
        ),
        "python": Key("the interpreter for functions and plugins, 3.6 or newer", "the listener's"),
        "python_path": Key("folders where it looks for modules first"),
        "plugins": Key("a manager's folder of plugins: /opt/mgmtworker/env/plugins"),
        "manager": Key(
            "where ctx gets resources, and each rest_token is deleted: rest_host, rest_port (53333),"
            " rest_protocol (https), rest_cert (/etc/cloudify/ssl/cloudify_internal_ca_cert.pem)",
        ),
        "child_memory": Key(
            "MiB, 64 or more, that a child interpreter may take, and each program that it starts",
            "no limit",
        ),
        "metrics": Key(
            "the file of Prometheus's metrics to write every five seconds; when you remove the setting,"
            " remove it, too"
        ),
        "log_format": Key(
            "json: the log of the listener and the forwarder has a JSON object a line, with entry_id,"
            " hook, outcome … where a line has them",
            "text",
        ),
        "log_level": Key("debug, info, warning or error: leave out lines below", "debug"),
    },
    "forward": {
        "hosts": Key("brokers, tried in turn; the port is 5671, without TLS 5672", "broker_config's"),
        "broker_config": Key("the file of a manager's worker", "the manager's"),
        "username": Key("of the broker", "broker_config's"),
        "password": Key("of the broker", "broker_config's"),
        "vhost": Key("of the broker", "broker_config's"),
        "tls": Key("false: without", "true"),
        "ca": Key("the file of the CA that the broker's certificate is from", "broker_config's"),
        "cert": Key("the file of our certificate, if the broker asks for one"),
        "key": Key("the file of its key"),
        "verify_host": Key("false: any name may stand in the broker's certificate", "true"),
        "queue": Key(
            "if it is not there, it is made and bound as a manager does it; else it is left as it is",
            "a manager's",
        ),
        "exchange": Key("what the queue is bound to", "a manager's"),
        "routing_key": Key("by which key it is bound", "a manager's"),
        "single_active": Key("true: make a queue of your own that serves one host at a time", "false"),
        "acknowledge": Key(
            "kept: when the inbox has the message; acted: when its hooks have ended", "kept"
        ),
        "prefetch": Key("messages that a host has without an acknowledgement", "200; acted: 20"),
    },
}
"""By the section of hooks.conf, or the built-in implementation whose inputs they are."""


@click.command(short_help="Say what each key of hooks.conf means.")
@click.argument("section", required=False, type=click.Choice(list(KEYS)), metavar="[SECTION]")
def keys(section: str | None) -> None:
    """Say what each key of hooks.conf means, or those of one SECTION.

    The sections are hooks, when (a hook's conditions), tags (!env, !file …), trap, webhook, notify and
    command (inputs), tests, listener and forward. For an editor, see check --schema.
    """
    text = click.HelpFormatter(max_width=_WIDTH)
    for name in [section] if section else KEYS:
        with text.section(name):
            text.write_dl([(key, words.in_words) for key, words in KEYS[name].items()])
    click.echo(text.getvalue().strip())
