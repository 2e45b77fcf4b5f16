"""The one exception that stands for a person's mistake: its text is a sentence, shown without a stack trace."""


class UserError(Exception):
    """What was wrong, where, and what to do, in a sentence. Commands print it and exit with 2."""


class TransientError(Exception):
    """A run could not finish for want of memory or disk; the next rebuild tries it again."""
