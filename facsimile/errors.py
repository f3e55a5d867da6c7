"""The one exception that stands for bad input rather than a bug."""


class FacsimileError(ValueError):
    """Bad input, described in one line that names the file, row, column or value to mend."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
