"""AU detectors: the downstream detector that arms train, and the oracle that only measures.

A training is an object with options whose `run` returns a model. Models `predict` one array of AU
intensities.
"""

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
