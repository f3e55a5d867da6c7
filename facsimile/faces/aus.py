"""The twelve Action Units of DISFA, and the nuisance attributes that correlate with them."""

AUS: tuple[str, ...] = (
    "AU01",
    "AU02",
    "AU04",
    "AU05",
    "AU06",
    "AU09",
    "AU12",
    "AU15",
    "AU17",
    "AU20",
    "AU25",
    "AU26",
)

AU_NAMES: dict[str, str] = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU09": "nose wrinkler",
    "AU12": "lip corner puller",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU25": "lips part",
    "AU26": "jaw drop",
}

# FACS letters A–E are intensities 0.2 … 1.0; below half of A an AU counts as inactive.
ACTIVE_THRESHOLD = 0.1

NUISANCES: tuple[str, ...] = ("eyeglasses", "beard", "male", "age")

# Ages are stored as fractions of this range, so CelebA's binary "young" fits the same column.
AGE_YEARS = (18.0, 80.0)
