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
_PATTERN = "a pattern, as for tenant_name"


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
        "inputs": Key(
            "the inputs of what is built in (see its section), else the keyword arguments of the"
            " function or task; a date becomes its ISO text"
        ),
        "when": Key("conditions, all of which must hold: see 'when'", "always"),
        "name": Key(
            "its name in the log and the history. A hook with a name keeps its retries when you correct"
            " it; one without, only while implementation and inputs stay the same",
            "event and position, as workflow_failed-4",
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
            " each deployment is counted by itself, likewise with other fields of 'when'. Retries and"
            " replays do not count",
            "no limit",
        ),
        "after": Key(
            "90s, 5m, 2h, 1d: a hook on workflow_overdue runs when an execution has had no end for so"
            " long since the listener accepted its start. A new hook leaves out those already overdue",
            "required there",
        ),
        "enabled": Key("false: the hook never runs", "true"),
        "description": Key("a comment"),
    },
    "when": {
        "tenant_name": Key(
            'a shell pattern, case-sensitive: acme, "prod-*"; !regex "…": a regular expression that is'
            " searched for; a list: any of its values; null: the field is absent"
        ),
        "deployment_id": Key(_PATTERN),
        "blueprint_id": Key(_PATTERN),
        "workflow_id": Key(_PATTERN),
        "execution_id": Key(_PATTERN),
        "timestamp": Key(f"the notification's text: {_PATTERN}"),
        "event_type": Key(f"for a hook on several: {_PATTERN}"),
        "message_type": Key(_PATTERN),
        "is_system_workflow": Key("true, false or null"),
        "hook": Key(f"the other hook's name, for hook_failed and hook_suppressed: {_PATTERN}"),
        "error": Key(f"why the last attempt failed, for hook_failed: {_PATTERN}"),
        "attempts": Key("how many there were, for hook_failed: a number, or a list of numbers"),
        "execution_parameters.x": Key(
            f"the execution's parameter x: {_PATTERN}; a number, true or false must be equal."
            " execution_parameters.x.nodes.0 goes into mappings and lists"
        ),
        "not": Key("a mapping of conditions: holds unless all of them hold"),
        "any": Key("a list of such mappings: holds if all conditions of at least one of them hold"),
        "during": Key(
            '"Mon-Fri 18:00-08:00 Europe/Berlin" or a list of such: days, times or both, in UTC unless'
            " a zone is named. A night belongs to the day that it begins on. The time is that of the"
            " receipt, also in a replay, not the notification's timestamp"
        ),
    },
    "tags": {
        "!env NAME": Key(
            "the environment variable, of the listener; !env [NAME, default] if it may be missing."
            " Where a number, true or false is wanted, it is read from the text"
        ),
        "!file PATH": Key(
            "the file's text without its last newline, never shown; a relative path starts at the"
            " folder of hooks.conf. When the file changes, touch hooks.conf"
        ),
        "!regex TEXT": Key("a regular expression, within 'when'"),
        "!template TEXT": Key(
            "within 'inputs', as \"{{ deployment_id }} failed\": a Jinja template, filled in at each"
            " attempt. It knows the fields of 'when', execution_parameters, arguments, text (the"
            " notification's) and entry_id; of hook_failed also hook, error and attempts; of"
            " hook_suppressed only hook, count, since, until and the field after the last 'per' of"
            " at_most; of workflow_overdue also started_at and overdue_s. An absent field is empty, an"
            " unknown one fails the hook for good. It may have if, for (not nested, up to 1000 items),"
            " no calls, and the filters default, join, replace, tojson, truncate, upper, lower,"
            " capitalize, trim, first, last, length, items, string, urlencode. It gives at most"
            " 65536 characters"
        ),
    },
    "trap": {
        "destination_address": Key(
            "a name or an address; a link-local one with its zone: fe80::1%eth0. The resolver may"
            " take 5 seconds for a new name",
            "required",
        ),
        "destination_port": Key("the receiver's UDP port", "required"),
        "source_address": Key(
            "the address of this host to send from; receivers know senders by it", "the route's"
        ),
        "community_string": Key("the community of version 2c", "required in 2c"),
        "version": Key("2c or 3", "2c"),
        "notify": Key("trap, or inform, which the receiver acknowledges", "trap"),
        "timeout": Key("seconds that one try of an inform waits", "1"),
        "retries": Key(
            "further tries of an inform; all must fit into the hook's timeout. The informs of one hook"
            " wait at the same time",
            "5",
        ),
        "layout": Key(
            "conductor: the original's order and objects; mib: the MIB's order, and instances (.0);"
            " control characters and line ends become spaces",
            "conductor",
        ),
        "user": Key("the user of version 3", "required in 3"),
        "auth_protocol": Key("MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512", "none"),
        "auth_key": Key("the pass phrase of auth_protocol, 8 characters or more; take it from a !file"),
        "priv_protocol": Key("DES, AES, AES-192 or AES-256", "none"),
        "priv_key": Key("the pass phrase of priv_protocol, 8 characters or more; take it from a !file"),
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
        "body": Key(
            "a text, sent as it stands, or a value, sent as JSON",
            "a CloudEvent: its type com.cloudify.workflow_failed, its subject the execution, its data"
            " the fields that a function gets, without the rest_token",
        ),
        "secret": Key(
            "signs as Standard Webhooks has it: whsec_ and base64, or any text", "no signature"
        ),
        "ca": Key("the file of the CAs to trust", "the system's"),
        "cert": Key("the file of our certificate, if the server asks for one"),
        "key": Key("the file of the certificate's key"),
        "proxy": Key("http://user:password@host:port; the environment's is not used", "none"),
    },
    "notify": {
        "urls": Key(
            "a URL as Apprise has it, or a list; a text may have one a line. Each gets an equal share"
            " of the timeout that is left",
            "required",
        ),
        "title": Key("the title of the message", "made from the notification"),
        "body": Key("the text of the message", "made from the notification"),
    },
    "command": {
        "argv": Key("a list: the program and its arguments; no shell reads them", "required"),
        "env": Key("a mapping of variables to add to the listener's environment"),
        "cwd": Key("the folder to start in", "the listener's"),
        "retry_on": Key(
            "a list of exit statuses that retries follow, beside 75 and the end by a signal"
        ),
    },
    "tests": {
        "event": Key("an event type, or a mapping with event_type and the fields of --set", "required"),
        "at": Key("the time for 'during'; UTC unless it says more", "now"),
        "runs": Key("the hooks that must run; no others may", "not tested"),
        "runs_not": Key("hooks that must not run", "not tested"),
    },
    "listener": {
        "state_dir": Key("the state directory", "/var/lib/conductor-hooks"),
        "durability": Key(
            "process: the journal outlives any process; power: also a loss of power, but an event with"
            " one hook then waits for the disk twice",
            "process",
        ),
        "keep_days": Key(
            "days that the journal keeps an entry with nothing left to do. In the first hour after a"
            " start or a jump of the system's clock, nothing is deleted for its age",
            "30",
        ),
        "keep_entries": Key("entries that it keeps at most", "1000000"),
        "wait_for_retries": Key(
            "seconds that a notification waits at most for retries of an earlier notification of its"
            " execution",
            "900",
        ),
        "python": Key("the interpreter for functions and plugins, 3.6 or newer", "the listener's"),
        "python_path": Key("a list of folders where it looks for modules first"),
        "plugins": Key(
            "a manager's folder of plugins: /opt/mgmtworker/env/plugins. Those of default_tenant serve"
            " all tenants that have none of their own"
        ),
        "manager": Key(
            "a mapping: the manager that ctx gets resources from, and that deletes each rest_token"
            " after its hooks. rest_host is required; rest_port (53333), rest_protocol (https) and"
            " rest_cert (/etc/cloudify/ssl/cloudify_internal_ca_cert.pem) are not",
        ),
        "child_memory": Key(
            "MiB of memory, 64 or more, that an interpreter for functions may take, and each program"
            " that it starts",
            "no limit",
        ),
        "metrics": Key(
            "the file to write Prometheus's metrics to, every five seconds. When you remove the"
            " setting, remove the file, too"
        ),
        "log_format": Key(
            "json: the log of the listener and the forwarder has a JSON object a line, with entry_id,"
            " hook, outcome … where a line has them",
            "text",
        ),
        "log_level": Key("debug, info, warning or error: the log has no lines below it", "debug"),
    },
    "forward": {
        "hosts": Key(
            "a broker or a list, tried in turn; the port is 5671, without TLS 5672", "broker_config's"
        ),
        "broker_config": Key("the broker_config.json of a manager's worker", "the manager's"),
        "username": Key("the user at the broker", "broker_config's"),
        "password": Key("the user's password; take it from a !file", "broker_config's"),
        "vhost": Key("the virtual host at the broker", "broker_config's"),
        "tls": Key("false: connect without TLS", "true"),
        "ca": Key("the file of the CA that the broker's certificate is from", "broker_config's"),
        "cert": Key("the file of our certificate, if the broker asks for one"),
        "key": Key("the file of the certificate's key"),
        "verify_host": Key("false: any name may stand in the broker's certificate", "true"),
        "queue": Key(
            "if it is not there, it is made and bound as a manager does it; else it is left as it is",
            "a manager's",
        ),
        "exchange": Key("the exchange that the queue is bound to", "a manager's"),
        "routing_key": Key("the key that the queue is bound with", "a manager's"),
        "single_active": Key(
            "true: make a queue of your own that serves one host at a time; name it in 'queue'", "false"
        ),
        "acknowledge": Key(
            "kept: tell the broker when the inbox has the message; acted: when its hooks have ended,"
            " retries included",
            "kept",
        ),
        "prefetch": Key(
            "messages that a host has at most before it acknowledges them", "200; acted: 20"
        ),
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
