"""Names of adapters and landmark models, and the modules of facsimile/datasets that define them.

A separate module, because the command line and many stages check params.yaml, and importing the
adapters would slow them down.
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
"""Name → module with an ``ADAPTER``, in the order in which they try to recognise files."""

LANDMARK_MODELS: dict[str, str] = {"dlib": "facsimile.datasets.dlib_landmarks:find"}
"""Name → function, as in `facsimile.datasets.alignment.LandmarkModel`."""
