"""What a picture says."""


def texts(ax):
    """Entries of its legend."""
    return [t.get_text() for t in ax.get_legend().get_texts()]
