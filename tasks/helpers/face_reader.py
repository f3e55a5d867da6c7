"""Read AUs, identity and nuisances from pictures of edits."""

from facsimile.detection import AUOracle
from facsimile.editing import EditorData
from facsimile.editing.nuisance_readouts import NuisanceReadouts
from facsimile.generator import Generator
from facsimile.paper.edit_trials import FaceReader
from tasks.shared.artefacts import ORACLE
from tasks.shared.stage import Compute


def load_face_reader(data: EditorData, generator: Generator, compute: Compute) -> FaceReader:
    """The oracle, and readouts of nuisances that are fitted on the attribute faces."""
    attributes = data.attributes
    return FaceReader(
        AUOracle.load(ORACLE, compute.device),
        generator,
        NuisanceReadouts().fit(attributes.codes.z.numpy(), attributes.nuisances),
        data.aus,
    )
