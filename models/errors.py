"""The one exception whose text is written for the user."""


class UserError(Exception):
    """Something the user can fix: what is wrong, the value we got, what to do, in one or two sentences.

    The command line prints the text on one line and exits with status 2; the page shows it as it is.
    Every other exception is a bug of ours and keeps its traceback.
    """
