"""The figures of the paper, one module each.

Every module computes the numbers it shows as one table (``shown_numbers``) and draws from that
table (``draw``), so that the CSV beside a figure holds what the figure shows.
"""

from topography.errors import TopographyError


class FigureInputError(TopographyError):
    """The tables given for a figure are incomplete or do not fit together."""
