"""What can go wrong before the first connection is served."""


class StartupFailed(Exception):
    """The server cannot start, and the operator or the application is at fault.

    The text is one line, fit to be the only thing printed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(" ".join(reason.split()))


def leaves(error: BaseException) -> list[BaseException]:
    """The single errors inside *error*, however deep nurseries have nested them in groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def whereabouts(error: BaseException) -> str:
    """Type and place of *error*, and nothing of its text, which may quote what a peer sent."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return type(error).__name__
    code = frame.tb_frame.f_code
    return (
        f"{type(error).__name__} in {code.co_name} ({code.co_filename.rpartition('/')[2]}:{frame.tb_lineno})"
    )
