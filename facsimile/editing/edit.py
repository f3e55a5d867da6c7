"""Editing neutral faces to planned levels of Action Units.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", III-A. The label of an
edited AU is the intensity of the edit. Other AUs are labelled 0, except AUs that an edited one
entails according to the causal graph (a dropping jaw parts the lips), whose labels are null.
"""

import numpy as np
import pandas as pd
import torch

from facsimile.editing.base import Change, Editor, SourceFaces
from facsimile.faces.aus import AUS, NUISANCES
from facsimile.faces.tables import image_structs, to_uint8
from facsimile.generator import Codes, Generator, NoiseModel

# Columns that an edited row inherits from its source face.
INHERITED = ("dataset", "subject_id", "split", *NUISANCES)
PLANNED = ("origin", "source_id", "edited_au", "intensity", "seed")


class EditOperator:
    """Maps planned edits to edited faces.

    Args:
        generator: loaded generator.
        editor: editor fitted on codes of this generator.
        noise: distribution of x_T for synthetic identities, the same that their neutral faces were
            decoded with. None if rows have an x_T.
    """

    def __init__(
        self, generator: Generator, editor: Editor, noise: NoiseModel | None = None
    ) -> None:
        editor.check(generator)
        self.generator = generator
        self.editor = editor
        self.noise = noise

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Edited rows with the columns of ``GENERATED_SCHEMA``.

        Args:
            batch: rows of `plan_edits` with the source's ``z`` and, without a noise model, its
                ``x_t``.
        """
        codes = Codes.from_table(batch)
        if self.noise:
            codes = self.noise.complete(codes, batch["source_id"], batch["seed"])
        codes = codes.to(self.generator.device)
        labels = batch[list(AUS)].to_numpy(np.float32, copy=True)
        change = Change.of_neutral(torch.from_numpy(labels).to(codes.z.device))
        edited = self.editor.edit(SourceFaces(codes), change, self.generator)
        images = to_uint8(edited.images)

        active = labels > 0
        for column in np.flatnonzero(active.any(axis=0)):
            entailed = np.isin(AUS, self.editor.entailed(AUS[column]))
            labels[np.ix_(active[:, column], entailed)] = np.nan
        ids = batch["sample_id"].to_list()
        return pd.DataFrame(
            {
                "sample_id": ids,
                **{name: batch[name].to_numpy() for name in INHERITED},
                "image": image_structs(images, ids),
                **dict(zip(AUS, labels.T, strict=True)),
                "au_presence_only": False,
                **{name: batch[name].to_numpy() for name in PLANNED},
                "editor": self.editor.name,
                "editor_md5": self.editor.digest,
                "generator_md5": self.generator.digest,
                "z": list(edited.z.cpu().numpy()),
            }
        )
