"""The one exception that stands for a person's mistake: its text is a sentence, shown without a stack trace."""


class UserError(Exception):
    """What was wrong, where, and what to do, in a sentence. Commands print it and exit with 2."""


class SettingError(UserError):
    """A setting, or several together, that a method cannot work with."""


class TransientError(Exception):
    """A run could not finish for want of memory or disk; the next rebuild tries it again."""


def shown(value: object) -> str:
    """A value in a sentence."""
    return short(repr(value))


def short(text: str, most: int = 80) -> str:
    """A text in a sentence: at most so many characters."""
    return text if len(text) <= most else f"{text[:most - 3]}..."
