"""Facsimile: controlled face manipulation and synthesis that balances Action Unit datasets."""

__version__ = "0.1.0"
