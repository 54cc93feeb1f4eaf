"""Whether a function is there, and whether it takes its inputs, without a call.

Owns the search for a module and for what its source defines. It runs no module's code. Runs inside the
child under the same rules as call.py, which loads it when hooks are checked.
"""

import ast
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict


def missing(module_name: str, name: str) -> str:
    """What is not there, "module" or "function"; '' when nothing is missing, or no file shows it."""
    spec = spec_of(module_name)
    if spec is None:
        return "module"
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(module_name) if get_source else None
    if source is None or defines(source, spec.origin or module_name, name):
        return ""
    return "function"


def spec_of(module_name: str) -> "Any":
    """What would be imported as `module_name`; None when there is none. Nothing is imported."""
    parts = module_name.split(".")
    stand_ins = []
    try:
        for number in range(1, len(parts) + 1):
            full_name = ".".join(parts[:number])
            places = getattr(sys.modules.get(full_name.rpartition(".")[0]), "__path__", None)
            finders = sys.meta_path if number == 1 or places is not None else []
            finders = [finder for finder in finders if hasattr(finder, "find_spec")]
            specs = (finder.find_spec(full_name, places) for finder in finders)
            spec = next((spec for spec in specs if spec is not None), None)
            if spec is None:
                return None
            if full_name not in sys.modules:  # where finders look for a package's folders
                stand_in = types.ModuleType(full_name)
                if spec.submodule_search_locations is not None:
                    stand_in.__path__ = spec.submodule_search_locations
                sys.modules[full_name] = stand_in
                stand_ins.append(full_name)
        return spec
    finally:
        for full_name in stand_ins:
            del sys.modules[full_name]


def defines(source: str, file: str, name: str) -> bool:
    """Whether a module's top level gives `name` a value, or may do so by ways that no text shows."""
    tree = ast.parse(source, file)
    if any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(tree)):
        return True
    waiting = [tree]  # type: Any
    while waiting:
        node = waiting.pop()
        if getattr(node, "name", None) in (name, "__getattr__"):
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) in (name, "*"):
            return True
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return False


class Hidden:
    """In place of a default, which may be a secret."""

    def __repr__(self) -> str:
        return "…"


def misfit(function: "Callable[..., Any]", name: str, inputs: "Dict[str, Any]") -> str:
    """Why the function cannot be called with a hook context and these inputs; '' when it can."""
    import inspect  # slow, and looking at files does not need it

    try:
        signature = inspect.signature(function)
    except ValueError:
        return ""  # a function written in C may have no signature
    try:
        signature.bind({}, **inputs)
    except TypeError as error:
        parameters = [
            parameter
            if parameter.default is inspect.Parameter.empty
            else parameter.replace(default=Hidden())
            for parameter in signature.parameters.values()
        ]
        named = ", ".join(map(str, parameters))
        return "the inputs do not fit %s(%s): %s" % (name, named, error)
    return ""
