"""The child interpreter: imports functions, calls them, answers how it went.

Runs as a script under any Python from 3.6, with the standard library alone; nothing of this package
may be imported here. pool.py starts it, as `child.py REQUEST_FD ANSWER_FD [PATH…]`, and is the only
one that talks to it: a request is a pickled dict, an answer a JSON object, each behind its length
in four bytes. Pickle, so that inputs arrive as the types they had; JSON, so that no function's
result is ever unpickled by the listener.
"""

import importlib
import io
import json
import os
import pickle
import select
import signal
import struct
import sys
import time
import traceback
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

_GRACE_S = 0.5  # for exit handlers, when the listener has let go of the child


class Refusal(Exception):
    """What was asked for is not there; the text says what."""


class Misfit(Refusal):
    """The function is there, but does not take these inputs."""


def watch(request_fd: int, answer_fd: int) -> None:
    """Fork a watcher that ends this process group once the listener is gone.

    It is a process of its own because a thread would have to wait for a function that holds the
    interpreter lock, and nobody's child, so that no function waits for it. It waits for the hang-up of
    the request pipe, whose other end the listener alone holds.
    """
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        return
    if os.fork():
        os._exit(0)
    for fd in (0, 1, 2, answer_fd):  # all that was inherited beside the request pipe
        os.close(fd)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    hangup = select.poll()
    hangup.register(request_fd, 0)  # POLLHUP is always reported
    hangup.poll()
    time.sleep(_GRACE_S)
    os.killpg(0, signal.SIGKILL)


def serve(request_fd: int, answer_fd: int) -> None:
    """Answer one request after another, until the listener closes its end."""
    own_pid = os.getpid()
    streams = Streams()
    with os.fdopen(request_fd, "rb") as requests:
        while True:
            header = requests.read(4)
            if len(header) < 4:
                return
            (size,) = struct.unpack(">I", header)
            request = pickle.loads(requests.read(size))
            answer = without_token(handle(request), request)
            streams.renew()
            if os.getpid() != own_pid:
                os._exit(0)  # a fork that a function made and did not end
            answer["id"] = request["id"]
            data = json.dumps(answer).encode()
            message = struct.pack(">I", len(data)) + data
            while message:
                message = message[os.write(answer_fd, message) :]


class Streams:
    """stdout and stderr, as every call is to find them whatever the one before did to them."""

    def __init__(self) -> None:
        self._output = os.dup(1)  # the same pipe as stderr's
        self._own = {}  # type: Dict[str, Any]
        self.renew()

    def renew(self) -> None:
        """Write out what was printed, and put right what is broken or not ours."""
        for fd, name in ((1, "stdout"), (2, "stderr")):
            own = self._own.get(name)
            for stream in (own, getattr(sys, name, None)):
                try:
                    stream.flush()  # type: ignore[union-attr]
                except Exception:  # any class may stand there, and raise anything
                    own = None
            os.dup2(self._output, fd)
            if own is None or getattr(sys, name, None) is not own:
                raw = open(fd, "wb", 0, closefd=False)  # noqa: SIM115
                # Written at once, so that what was printed is known even of a child that crashed.
                own = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
                setattr(sys, name, own)
            self._own[name] = own


def handle(request: "Dict[str, Any]") -> "Dict[str, Any]":
    """Do what is asked. Nothing that a function raises leaves here."""
    try:
        if request["op"] == "call":
            return {"text": call(request["path"], request["context"], request["inputs"])}
        if request["op"] == "import":
            check_fit(request["path"], request["inputs"])
        else:
            look(request["path"])
        return {"text": ""}
    except Misfit as misfit:
        return {"error": str(misfit), "details": "", "cause": "inputs"}
    except Refusal as refusal:
        return {"error": str(refusal), "details": ""}
    except SystemExit as error:
        return {"error": "it called sys.exit(%r)" % (error.code,), "details": ""}
    except BaseException as error:
        return {"error": describe(error), "details": traceback_below_us(error)}


def without_token(answer: "Dict[str, Any]", request: "Dict[str, Any]") -> "Dict[str, Any]":
    """The answer, with the context's rest_token left out of its texts: they are logged."""
    token = request.get("context", {}).get("rest_token")
    if not isinstance(token, str) or not token:
        return answer
    return {name: text.replace(token, "...") for name, text in answer.items()}


def call(path: str, context: "Dict[str, Any]", inputs: "Dict[str, Any]") -> str:
    """The function's result, as text to log; '' for None."""
    function = find(path)
    try:
        result = function(context, **inputs)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise Misfit("the inputs do not fit: %s" % error) from None
        raise
    if result is None:
        return ""
    try:
        text = repr(result)
    except Exception as error:
        text = "a %s, whose repr raised %s" % (type(result).__name__, describe(error))
    return "returned " + shorten(text)


_found = {}  # type: Dict[str, Callable[..., Any]]


def find(path: str) -> "Callable[..., Any]":
    """The function at `package.module.function`; found once, kept for as long as we live."""
    if path in _found:
        return _found[path]
    module_name, _, name = path.rpartition(".")
    importlib.invalidate_caches()  # it may have been installed since we looked last
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or ""
        if isinstance(error, ModuleNotFoundError) and (module_name + ".").startswith(missing + "."):
            raise Refusal(no_module(module_name)) from None
        raise
    if not hasattr(module, name):
        raise Refusal("%s has no function named %r" % (module_name, name))
    function = getattr(module, name)
    if not callable(function):
        raise Refusal("%s is no function, but a value of type %s" % (path, type(function).__name__))
    _found[path] = function
    return function  # type: ignore[no-any-return]


def check_fit(path: str, inputs: "Dict[str, Any]") -> None:
    """Raise Refusal when there is no function that takes `(hook_context, **inputs)`."""
    import inspect  # slow, and only `check` needs it

    try:
        signature = inspect.signature(find(path))
    except ValueError:
        return  # a function written in C may not tell
    try:
        signature.bind({}, **inputs)
    except TypeError as error:
        name = path.rpartition(".")[2]
        raise Misfit("the inputs do not fit %s%s: %s" % (name, signature, error)) from None


def look(path: str) -> None:
    """Raise Refusal when nothing is at `path`, as far as files tell; no module's code is run."""
    module_name, _, name = path.rpartition(".")
    spec = spec_of(module_name)
    get_source = getattr(spec.loader, "get_source", None)
    source = get_source(module_name) if get_source else None
    if source is not None and not defines(source, spec.origin or module_name, name):
        raise Refusal("%s has no function named %r" % (module_name, name))


def spec_of(module_name: str) -> "Any":
    """What would be imported as `module_name`; Refusal when there is none. Nothing is imported."""
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
                raise Refusal(no_module(module_name))
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
    import ast  # slow, and only `check --no-import` needs it

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


def no_module(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        return "No module named %s; this looks like a task of a managed plugin, which is not run" % name
    return (
        "No module named %s for %s; if it lies in a folder of its own, name the folder in"
        " 'listener: python_path'" % (name, sys.executable)
    )


def describe(error: BaseException) -> str:
    """`ValueError: what it says`; an error whose text cannot be had is named all the same."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    return shorten("%s: %s" % (type(error).__name__, text) if text else type(error).__name__, 500)


def traceback_below_us(error: BaseException) -> str:
    """The traceback from the first line that is not ours, its last 50 lines; '' when there is none."""
    frame = error.__traceback__
    while frame is not None and is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return "".join(traceback.format_tb(frame, -50)) if frame is not None else ""


def is_ours(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


def shorten(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def main() -> None:
    """Take the arguments that pool.py gave, then serve until it lets go."""
    request_fd, answer_fd = int(sys.argv[1]), int(sys.argv[2])
    for fd in (request_fd, answer_fd):
        os.set_inheritable(
            fd, False
        )  # or a program that a function starts would keep us seemingly alive
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # our folder is not the functions' business
    sys.path[:0] = sys.argv[3:]
    watch(request_fd, answer_fd)
    serve(request_fd, answer_fd)


if __name__ == "__main__":
    main()
