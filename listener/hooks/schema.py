"""The JSON Schema of hooks.conf, built of what the tables of keys say that each may be.

Owns how kinds and tables of them become a schema. It knows no key and reads nothing: each table of keys
serves the readers, and is described here. The verb `check --schema` prints the whole.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from listener.hooks.values import PATH, Kind, Schema

WHEN: Schema = {"$ref": "#/$defs/when"}
FORWARD: Schema = {"$ref": "#/$defs/forward"}
_ELSEWHERE: Schema = {"$ref": "#/$defs/elsewhere"}

DEFINITIONS: Mapping[str, Schema] = {
    "elsewhere": {
        "description": "what a tag brings: !env NAME, !env [NAME, default], !file PATH, !template TEXT",
        "anyOf": [
            {"type": "string", "pattern": r"^[A-Z_][A-Z0-9_]*$|/|\{[{%]"},
            {"type": "array", "minItems": 1, "maxItems": 2, "prefixItems": [{"type": "string"}]},
        ],
    }
}
"""An editor does not know the tag of a text, and so takes one that looks like a variable's name, a path
or a template where a number is wanted."""


class Form(NamedTuple):
    """A reader that is a function (see readers.py), and the schema of what may stand where it reads."""

    read: Callable[..., Any]
    schema: Schema


def of(described: Kind | Form) -> Schema:
    """What may stand there."""
    if isinstance(described, Form):
        return described.schema
    return {"description": described.wanted, "anyOf": [described.schema, _ELSEWHERE]}


def path(is_there: Callable[[str], bool] = lambda _: True) -> Form:
    """What takes a path; one that is not there, as `is_there` sees it, gets a warning."""
    return Form(lambda source, node, label: source.read_path(node, label, is_there), of(PATH))


def several(reader: Any, schema: Schema) -> Form:
    """What takes one value as the reader does, or a list of them; the schema is of one."""
    return Form(lambda source, node, label: source.several(node, label, reader), one_or_more(schema))


def one_or_more(schema: Schema) -> Schema:
    """One such value, or a list of them."""
    return {"anyOf": [schema, {"type": "array", "minItems": 1, "items": schema}]}


def mapping(keys: Mapping[str, Kind | Form], required: Sequence[str] = ()) -> dict[str, Any]:
    """A mapping with these keys and no others; nothing, too, unless something is required."""
    return {
        "type": "object" if required else ["object", "null"],
        "properties": {key: of(described) for key, described in keys.items()},
        "required": list(required),
        "additionalProperties": False,
    }
