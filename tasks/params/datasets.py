"""Section `datasets`: the role of each dataset."""

from tasks.params.section import DatasetName, Section


class DatasetsParams(Section):
    """Roles of the datasets.

    Attributes:
        aus: annotated for AUs; used to fit the editor, as sources of edits, and to train and test
            detectors.
        attributes: annotated for eyeglasses, beard, gender and age.
        tests: further test sets, never trained on.
    """

    aus: DatasetName
    attributes: DatasetName
    tests: tuple[DatasetName, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.aus, self.attributes, *self.tests)))
