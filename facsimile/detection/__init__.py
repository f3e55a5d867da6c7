"""AU detectors: the downstream one that arms train, and the independent one that measures."""

from facsimile.detection.detector import AUDetector, DetectorTraining
from facsimile.detection.ensemble import AUEnsemble
from facsimile.detection.labelled_faces import LabelledFaces
from facsimile.detection.oracle import AUOracle, OracleTraining

__all__ = [
    "AUDetector",
    "AUEnsemble",
    "AUOracle",
    "DetectorTraining",
    "LabelledFaces",
    "OracleTraining",
]
