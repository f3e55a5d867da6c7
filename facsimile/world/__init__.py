"""The embedded world: FACS-labelled 3D faces in which every label is exact."""

from facsimile.world.faces import iter_faces, write_faces
from facsimile.world.population import population
from facsimile.world.sets import SETS, WorldSet

__all__ = ["SETS", "WorldSet", "iter_faces", "population", "write_faces"]
