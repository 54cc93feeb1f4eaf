"""The function that hooks call when the call itself is measured."""


def no_op(context: "dict[str, object]") -> None:
    pass


def sleep_20_ms(context: "dict[str, object]") -> None:
    """An action that takes its time, and says that it has ended."""
    import os
    import time

    time.sleep(0.02)
    with open(os.environ["BENCHMARK_DONE"], "ab") as done:
        done.write(b".")
