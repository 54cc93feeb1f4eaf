"""The child interpreter: imports functions, calls them, answers how it went.

Runs as a script under any Python from 3.6, with the standard library alone; nothing of this package
may be imported here. pool.py starts it, as `main.py REQUEST_FD ANSWER_FD MEMORY_MIB [PATH…]`, and is
the only one that talks to it: a request is a pickled dict, its answer a line of the request's number
and JSON, which is a text when all went well, else an object. Pickle, so that inputs arrive as the types
they had; JSON, so that no function's result is ever unpickled by the listener.
"""

import functools
import importlib
import importlib.util
import io
import json
import os
import pickle
import resource
import select
import signal
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Dict, Optional

_MOST = {"text": 209, "error": 500}  # characters of an answer
_GRACE_S = 0.5  # for exit handlers, when the listener has closed the requests
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_encode = json.JSONEncoder().encode


class Refusal(Exception):
    """The function cannot be called, or its result cannot be sent; the text says why.

    `cause` is "module" when that is not there, "inputs" when the function does not take them, "result"
    when it was called and that is the problem, else "".
    """

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


def watch(request_fd: int, answer_fd: int) -> None:
    """Fork a watcher that ends this process group once the listener is gone.

    It is a process of its own because a thread would have to wait for a function that holds the
    interpreter lock, and no child of this one, so that no function waits for it. It waits for the
    hang-up of the request pipe, whose other end the listener alone holds.
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
    if hasattr(os, "register_at_fork"):  # Python 3.7
        # With our end the pipe is closed, whatever a function's forks do. A fork's own forks
        # have nothing left to close: there the number may be another file's.
        inherited = [answer_fd]
        os.register_at_fork(after_in_child=lambda: os.close(inherited.pop()) if inherited else None)
    streams = Streams()
    with os.fdopen(request_fd, "rb") as requests:
        while True:
            try:
                request = pickle.load(requests)
            except EOFError:
                return
            answer = presentable(handle(request), request)
            streams.renew()
            if os.getpid() != own_pid:
                os._exit(0)  # a fork that a function made and did not end
            # A text alone is encoded in a quarter of an object's time.
            value = _encode(answer.get("text", answer))
            message = ("%d %s\n" % (request["id"], value)).encode()
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
            found = getattr(sys, name, None)
            for stream in (own,) if found is own else (own, found):
                try:
                    stream.flush()  # type: ignore[union-attr]
                except Exception:  # any class may stand there, and raise anything
                    own = None
            os.dup2(self._output, fd)
            if own is None or found is not own:
                raw = open(fd, "wb", 0, closefd=False)  # noqa: SIM115
                # Written at once, so that what was printed is known even of a child that crashed.
                own = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
                setattr(sys, name, own)
            self._own[name] = own


def handle(request: "Dict[str, Any]") -> "Dict[str, Any]":
    """Do what is asked. Nothing that a function raises leaves here."""
    try:
        if request["op"] == "call":
            return {"text": call(request)}
        if request["op"] == "import":
            check_fit(request["path"], request["inputs"])
        else:
            check_presence(request["path"])
        return {"text": ""}
    except Refusal as refusal:
        cause = refusal.cause
        return {"error": str(refusal), "details": "", "cause": cause, "is_final": cause == "result"}
    except SystemExit as error:
        return {"error": "it called sys.exit(%r)" % (error.code,), "details": ""}
    except BaseException as error:
        if isinstance(error, MemoryError):
            traceback.clear_frames(error.__traceback__)  # what fills the memory is theirs
        details = "".join(traceback.format_tb(below_us(error), -50))
        ctx = ctx_module()
        advice = {} if ctx is None else ctx.retry_advice(error)
        return dict(advice, error=describe(error), details=details)


def presentable(answer: "Dict[str, Any]", request: "Dict[str, Any]") -> "Dict[str, Any]":
    """The answer as it is logged: without the secret, and only then cut to its length."""
    if not any(answer.values()):
        return answer  # most functions return nothing
    secret = request.get("secret")
    if secret:
        answer = {
            name: value.replace(secret, "...") if isinstance(value, str) else value
            for name, value in answer.items()
        }
    for name, most in _MOST.items():
        if name in answer:
            answer[name] = shorten(answer[name], most)
    return answer


def call(request: "Dict[str, Any]") -> str:
    """The function's result, as text to log; '' for None. One that JSON cannot hold is refused."""
    function = find(request["path"])
    ctx = ctx_module()
    try:
        if ctx is None:
            result = function(request["context"], **request["inputs"])
        else:
            result = ctx.call(function, request)
    except TypeError as error:
        if below_us(error) is None:
            raise Refusal("the inputs do not fit: %s" % error, "inputs") from None
        raise
    if result is None:
        return ""
    try:
        json.dumps(result)  # as the original does, whose runner hands it on
        return "returned " + repr(result)
    except Exception as error:
        raise Refusal(
            "it ran to its end, and is not run again, but its result cannot be put into JSON: %s;"
            " let it return what can, or nothing" % describe(error),
            "result",
        ) from None


@functools.lru_cache(maxsize=None)
def find(path: str) -> "Callable[..., Any]":
    """The function at `package.module.function`; a second call costs nothing."""
    module_name, _, name = path.rpartition(".")
    importlib.invalidate_caches()  # it may have been installed since then last
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or ""
        if isinstance(error, ModuleNotFoundError) and (module_name + ".").startswith(missing + "."):
            raise no_module(module_name) from None
        raise
    if not hasattr(module, name):
        raise no_function(module_name, name)
    function = getattr(module, name)
    if not callable(function):
        raise Refusal("%s is no function, but a value of type %s" % (path, type(function).__name__))
    return function  # type: ignore[no-any-return]


def check_fit(path: str, inputs: "Dict[str, Any]") -> None:
    """Raise Refusal when there is no function that takes `(hook_context, **inputs)`."""
    misfit = own_module("finder").misfit(find(path), path.rpartition(".")[2], inputs)
    if misfit:
        raise Refusal(misfit, "inputs")


def check_presence(path: str) -> None:
    """Raise Refusal when nothing is at `path`, as far as files show; no module's code is run."""
    module_name, _, name = path.rpartition(".")
    missing = own_module("finder").missing(module_name, name)
    if missing:
        raise no_module(module_name) if missing == "module" else no_function(module_name, name)


def no_module(name: str) -> Refusal:
    return Refusal("No module named %s for %s" % (name, sys.executable), "module")


def no_function(module_name: str, name: str) -> Refusal:
    return Refusal("%s has no function named %r" % (module_name, name))


@functools.lru_cache(maxsize=None)
def own_module(name: str) -> "Any":
    """The module that lies beside this file, where no import statement finds it."""
    file = os.path.join(_FOLDER, name + ".py")
    spec = importlib.util.spec_from_file_location("conductor_hooks_" + name, file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@functools.lru_cache(maxsize=None)
def ctx_module() -> "Any":
    """ctx.py, which makes cloudify's `ctx`; None where this interpreter has no cloudify that works."""
    try:
        return own_module("ctx") if importlib.util.find_spec("cloudify") is not None else None
    except Exception as error:
        print("there is no ctx, as cloudify cannot be imported: %s" % describe(error))
        return None


def describe(error: BaseException) -> str:
    """`ValueError: what it says`; an error whose text cannot be had is named all the same."""
    try:
        text = str(error)
    except Exception:
        text = "(its text cannot be had)"
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    if isinstance(error, MemoryError) and limit != resource.RLIM_INFINITY:
        text = "more than the %d MiB of 'listener: child_memory' in hooks.conf" % (limit >> 20)
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def below_us(error: BaseException) -> "Optional[TracebackType]":
    """The traceback from the first line that is not ours; None when there is none."""
    place = error.__traceback__
    while place is not None and is_ours(place.tb_frame.f_code.co_filename):
        place = place.tb_next
    return place


def is_ours(file: str) -> bool:
    ours = os.path.dirname(file) == _FOLDER or file == importlib.__file__
    return ours or file.startswith("<frozen importlib")


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def bound_memory(mib: int) -> None:
    """Let this process and each that it starts have so much memory of its own, and no more."""
    # Not RLIMIT_AS, which counts what is only reserved: 64 MiB for each thread that allocates.
    resource.setrlimit(resource.RLIMIT_DATA, (mib << 20, mib << 20))


def main() -> None:
    """Take the arguments that pool.py gave, then serve until it lets go."""
    request_fd, answer_fd = int(sys.argv[1]), int(sys.argv[2])
    for fd in (request_fd, answer_fd):  # or a function's program would keep us seemingly alive
        os.set_inheritable(fd, False)
    if sys.path and sys.path[0] == _FOLDER:
        del sys.path[0]  # our folder is not the functions' business
    sys.path[:0] = sys.argv[4:]
    watch(request_fd, answer_fd)
    if int(sys.argv[3]):
        bound_memory(int(sys.argv[3]))
    serve(request_fd, answer_fd)


if __name__ == "__main__":
    main()
