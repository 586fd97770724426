"""Errors with a message for the user, shown without a traceback: what is wrong, where, and what to do."""


class UserError(Exception):
    """Base class of errors that end a command with one sentence."""

    exit_code = 1


class JobError(UserError, ValueError):
    """Invalid job file or argument, or one that refers to something unusable."""

    exit_code = 2


class RunError(UserError):
    """Failure of the work itself: storage refused, another run holds the output, or a check failed."""


class DeniedError(RunError):
    """Failure that no further try mends: access is denied, credentials are missing or wrong, a name is too long."""

    exit_code = 2


class HeldError(RunError):
    """Failure because another run holds the output or has taken it over."""

    exit_code = 5


class GoneError(RunError):
    """Failure because the output was removed while a run was at work on it."""


def one_line(error: BaseException, most: int = 160) -> str:
    """The message of an error in one line of at most `most` characters."""
    return " ".join(str(error).split())[:most]
