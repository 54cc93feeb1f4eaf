"""The function that hooks call when the call itself is measured."""


def no_op(context: "dict[str, object]") -> None:
    pass
