"""Groups of people of published cross-validations, so that scores can be compared with papers.

A separate module, because params.yaml is checked against it, and importing the adapters would slow
this down.
"""

PUBLISHED_FOLDS: dict[str, dict[str, tuple[str, ...]]] = {
    "jaa-net": {
        "disfa": (
            "SN002 SN010 SN001 SN026 SN027 SN032 SN030 SN009 SN016",
            "SN013 SN018 SN011 SN028 SN012 SN006 SN031 SN021 SN024",
            "SN003 SN029 SN023 SN025 SN008 SN005 SN007 SN017 SN004",
        ),
        "bp4d": (
            "F001 M007 F018 F008 F002 M004 F010 F009 M012 M001 F016 M014 F023 M008",
            "M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005",
            "F007 F015 F006 F019 M006 M009 F012 M003 F004 F021 F017 M015 F014",
        ),
    },
}
"""Name → adapter → ids of the people of each group.

jaa-net: three folds of Z. Shao, Z. Liu, J. Cai, L. Ma, "Deep Adaptive Attention for Joint Facial
Action Unit Detection and Face Alignment", ECCV 2018, used by most later papers on AU detection.
"""


def count_parts(name: str) -> int:
    """Number of parts of a published cross-validation, the same for all its datasets."""
    (count,) = {len(groups) for groups in PUBLISHED_FOLDS[name].values()}
    return count


def published_groups(name: str, adapter: str) -> tuple[frozenset[str], ...]:
    """Groups of people of a published cross-validation; empty if it has none for this adapter."""
    return tuple(frozenset(group.split()) for group in PUBLISHED_FOLDS[name].get(adapter, ()))
