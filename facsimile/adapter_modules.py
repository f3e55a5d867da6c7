"""Adapters by name, and the modules of facsimile/datasets that define them.

A module of its own, because params.yaml is checked by the command line and by stages that have no
time to import the adapters.
"""

ADAPTER_MODULES: dict[str, str] = {
    "table": "table",
    "disfa": "disfa",
    "disfa-plus": "disfa_plus",
    "bp4d": "bp4d",
    "celeba": "celeba",
    "ffhq": "ffhq",
    "parquet": "parquet",
    "feafa": "feafa",  # last: it searches all folders
}
"""Name → module with an ``ADAPTER``, in the order in which they are asked to recognise files."""
