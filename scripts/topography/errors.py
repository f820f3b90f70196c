"""The root of the errors a user can cause and mend."""


class TopographyError(ValueError):
    """An expected failure; its message says what is wrong, where, and how to fix it.

    Scripts show such an error as one line. Any other exception is a defect of the program and
    keeps its traceback.
    """
