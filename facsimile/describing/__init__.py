"""From a sentence to labelled faces: a joint generator of codes and AU labels."""

from facsimile.describing.described_faces import (
    DescribedFacesOperator,
    person_name,
    plan_described,
)
from facsimile.describing.describer import DescribedCodes, Describer
from facsimile.describing.joint_training import TrainingFaces, face_weights
from facsimile.describing.label_decoder import DecoderParts
from facsimile.describing.lessons import (
    Narrator,
    agreed_aus,
    draw_configurations,
    face_mask,
    realistic_codes,
    told_aus,
)
from facsimile.describing.options import JointTrainingOptions, TextTrainingOptions
from facsimile.describing.people import IdentityBank
from facsimile.describing.text_encoder import (
    ClipEncoder,
    TextEncoder,
    TextFeatures,
    WordEncoder,
    load_text_encoder,
)

__all__ = [
    "ClipEncoder",
    "DecoderParts",
    "DescribedCodes",
    "DescribedFacesOperator",
    "Describer",
    "IdentityBank",
    "JointTrainingOptions",
    "Narrator",
    "TextEncoder",
    "TextFeatures",
    "TextTrainingOptions",
    "TrainingFaces",
    "WordEncoder",
    "agreed_aus",
    "draw_configurations",
    "face_mask",
    "face_weights",
    "load_text_encoder",
    "person_name",
    "plan_described",
    "realistic_codes",
    "told_aus",
]
