"""AU detectors: the downstream one that arms train, and the independent one that measures."""

from facsimile.detection.detector import AUDetector, train_detector
from facsimile.detection.ensemble import AUEnsemble
from facsimile.detection.oracle import AUOracle, train_oracle

__all__ = ["AUDetector", "AUEnsemble", "AUOracle", "train_detector", "train_oracle"]
