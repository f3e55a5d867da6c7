"""The exception for bad input, as opposed to a bug."""


class FacsimileError(ValueError):
    """Bad input, described in one line that names the file, row, column or value to fix."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
