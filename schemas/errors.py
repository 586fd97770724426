"""Errors whose message is meant for the user: what is wrong, where, and what to do. No traceback is shown for them."""


class UserError(Exception):
    """Base of the errors that end a command with one clear sentence."""

    exit_code = 1


class JobError(UserError, ValueError):
    """The job file, an argument, or what they point at cannot be used."""

    exit_code = 2


class RunError(UserError):
    """The work itself could not be done: storage refused, another run holds the output, a check failed."""


class HeldError(RunError):
    """Another run holds the output, or has taken it over."""

    exit_code = 5
