"""One call: a function is imported and called, in a process of its own that ends with it.

Owns what such a process does from its fork to its end. server.py forks it; the listener's
call.py talks to it: its first line is its process ID, the request is a pickled dict, the answer a line
of JSON, which is a text when all went well, else an object. Pickle, so that inputs arrive as the types
they had; JSON, so that no function's result is ever unpickled by the listener.
"""

import atexit
import contextlib
import functools
import importlib
import importlib.util
import json
import math
import os
import pickle
import random
import resource
import signal
import sys
import threading
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Dict, NoReturn, Optional

    from .modules import Modules

_MOST = {"text": 209, "error": 500}  # characters of an answer
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_encode = json.JSONEncoder().encode


class Terminated(BaseException):
    """SIGTERM has come: what the function has in `finally` is run."""


class Refusal(Exception):
    """The function cannot be called, or its result cannot be sent; the text says why.

    `cause` is "module" when that is not there, "inputs" when the function does not take them, "result"
    when it was called and that is the problem, else "".
    """

    def __init__(self, text: str, cause: str = "") -> None:
        super().__init__(text)
        self.cause = cause


def serve(channel: int, output: int, memory_mib: int, modules: "Modules") -> "NoReturn":
    """Serve one request in this process, which was just forked for it, and end the process."""
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, terminate)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.set_inheritable(channel, False)  # or a program left behind would hold it
        if memory_mib:
            bound_memory(memory_mib)
        if sys.version_info < (3, 7):
            random.seed()  # later versions do that by themselves
        serve_request(channel, modules)
        status = 0
    finally:
        os._exit(status)


def terminate(_signum: int, _frame: "Any") -> None:
    raise Terminated


def serve_request(channel: int, modules: "Modules") -> None:
    own_pid = os.getpid()
    inherited = [channel]
    if hasattr(os, "register_at_fork"):  # Python 3.7
        # With our end the channel is closed, whatever a function's forks do. A fork's own forks
        # have nothing left to close: there the number may be another file's.
        os.register_at_fork(after_in_child=lambda: os.close(inherited.pop()) if inherited else None)
    os.write(channel, b"%d\n" % own_pid)
    try:
        with open(channel, "rb", closefd=False) as requests:
            request = pickle.load(requests)
    except EOFError:
        return  # the listener needs no further call
    deadline = time.monotonic() + request["timeout_s"]
    is_stale = modules.have_changed()
    answer = {"is_stale": True} if is_stale else presentable(handle(request), request)
    flush()
    if os.getpid() != own_pid:
        return  # a fork that the function made and did not end
    message = (_encode(answer.get("text", answer)) + "\n").encode()
    while message:
        message = message[os.write(channel, message) :]
    inherited.clear()
    os.close(channel)
    finish(deadline)


def finish(deadline: float) -> None:
    """Wait for the function's threads and run its exit handlers, as the end of any Python does.

    What has not ended at the deadline is ended then.
    """
    for signum in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.alarm(max(1, math.ceil(deadline - time.monotonic())))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    flush()


def flush() -> None:
    """Write out what was printed."""
    for name in ("stdout", "stderr"):
        with contextlib.suppress(Exception):  # any class may stand there, and raise anything
            getattr(sys, name).flush()


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
    except Terminated:
        return {"error": "it was ended by SIGTERM", "details": ""}
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
    """The answer as it is logged: without the secrets, and only then cut to its length."""
    if not any(answer.values()):
        return answer  # most functions return nothing
    for name, value in answer.items():
        if isinstance(value, str):
            answer[name] = functools.reduce(
                lambda text, secret: text.replace(secret, "…"), request.get("secrets", ()), value
            )
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


def find(path: str) -> "Callable[..., Any]":
    """The function at `package.module.function`."""
    module_name, _, name = path.rpartition(".")
    if module_name not in sys.modules:
        importlib.invalidate_caches()  # it may have been installed since the fork server looked
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
    from . import finder

    misfit = finder.misfit(find(path), path.rpartition(".")[2], inputs)
    if misfit:
        raise Refusal(misfit, "inputs")
    load_ctx()


def check_presence(path: str) -> None:
    """Raise Refusal when nothing is at `path`, as far as files show; no module's code is run."""
    from . import finder

    module_name, _, name = path.rpartition(".")
    missing = finder.missing(module_name, name)
    if missing:
        raise no_module(module_name) if missing == "module" else no_function(module_name, name)


def no_module(name: str) -> Refusal:
    return Refusal("No module named %s for %s" % (name, sys.executable), "module")


def no_function(module_name: str, name: str) -> Refusal:
    return Refusal("%s has no function named %r" % (module_name, name))


def load_ctx() -> "Any":
    """ctx.py, which makes cloudify's `ctx`; None where there is no cloudify. Raises what it raises."""
    if importlib.util.find_spec("cloudify") is None:
        return None
    from . import ctx

    return ctx


@functools.lru_cache(maxsize=None)
def ctx_module() -> "Any":
    """As load_ctx; None where cloudify does not work, too, and a line that says so."""
    try:
        return load_ctx()
    except Exception as error:
        print("there is no ctx, as cloudify cannot be imported: %s" % describe(error))
        return None


def describe(error: BaseException) -> str:
    """`ValueError: what it says`; an error whose text cannot be had is named all the same."""
    try:
        text = str(error)
    except BaseException:  # a text that raises SystemExit, for one
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
