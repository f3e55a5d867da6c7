"""Section `datasets`: which dataset serves which purpose."""

from tasks.params.section import DatasetName, Section


class DatasetsParams(Section):
    """What each dataset is for.

    Attributes:
        aus: annotated for AUs; fits directions, is edited, trains and tests detectors.
        attributes: annotated for eyeglasses, beard, gender and age.
        tests: further test sets, never trained on.
    """

    aus: DatasetName
    attributes: DatasetName
    tests: tuple[DatasetName, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.aus, self.attributes, *self.tests)))
