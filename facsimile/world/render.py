"""Render people with expressions: one linear head, one rasteriser, one deferred shader."""

import numpy as np
import pandas as pd
from numba import njit

from facsimile.aus import AUS
from facsimile.seeding import sample_rng
from facsimile.world import appearance
from facsimile.world.accessories import (
    FRAME_TRIANGLES,
    LENS_TRIANGLES,
    LOCK_TRIANGLES,
    glasses,
    locks,
)
from facsimile.world.appearance import Frame, Person, Session
from facsimile.world.head import PART_EYE, PART_FRAME, PART_HAIR, HeadModel
from facsimile.world.raster import rasterize
from facsimile.world.shading import Paint, hairline_height, shade, smooth, vertex_normals

# A tight crop: the eyes are this share of the side apart and this far below the upper edge. As in
# FFHQ the frame follows facial landmarks, but eyes alone: aligning on the mouth, too, as FFHQ does,
# would let AU12 and AU26 change the scale of the face.
EYE_DISTANCE = 0.29
EYE_ROW = 0.37

_PIVOT = np.array([0.0, 7.1, 0.4])  # the head turns about the upper end of the neck
_BROWS = ((-0.5, 0.5), (7.45, 7.65))
_SHORTEST_LOCKS = 0.15


class Renderer:
    """Renders faces of a population.

    Args:
        size: side of the images, pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.model = HeadModel()
        rest = self.model.rest
        skin = self.model.parts != PART_EYE
        eyes = np.unique(self.model.triangles[~skin])
        # The person's right side is at negative x.
        self._eyes = [eyes[rest[eyes, 0] < 0], eyes[rest[eyes, 0] > 0]]
        (left, right), (low, high) = _BROWS
        inside = (rest[:, 0] > left) & (rest[:, 0] < right) & (rest[:, 1] > low) & (rest[:, 1] < high)
        self._brows = np.flatnonzero(inside & (rest[:, 2] > 1.0))
        ears = self.model.masks[:, 2] > 0.5
        self._ears = [np.flatnonzero(ears & (rest[:, 0] < 0)), np.flatnonzero(ears & (rest[:, 0] > 0))]
        self._chin = int(np.argmin(np.linalg.norm(rest - [0.0, 6.27, 1.27], axis=1)))

        self._triangles = self.model.triangles
        self._depth = np.empty((2 * size, 2 * size), np.float32)
        self._seen = np.empty((2 * size, 2 * size), np.int32)
        self._weights = np.empty((2 * size, 2 * size, 2), np.float32)

    def render(self, people: pd.DataFrame, seed: int) -> np.ndarray:
        """Render rows of ``population``.

        Appearance comes from (seed, subject_id), the scene from (seed, session_id), pose and gaze
        from (seed, sample_id), so a face does not depend on the rows around it.

        Args:
            people: N rows of ``facsimile.world.population.population``.
            seed: seed of the world.

        Returns:
            uint8 (N, size, size, 3), sRGB.
        """
        faces = np.empty((len(people), self.size, self.size, 3), np.uint8)
        expressions = appearance.expression(self.model.names, people)
        aus = people[list(AUS)].to_numpy(np.float32)
        for n, row in enumerate(people.itertuples(index=False)):
            person = appearance.draw_person(
                sample_rng(seed, f"person/{row.subject_id}"), self.model.names, row.male, row.age
            )
            session = appearance.draw_session(
                sample_rng(seed, f"session/{row.session_id}"), row.domain
            )
            frame = appearance.draw_frame(sample_rng(seed, f"frame/{row.sample_id}"))
            self.model.close_lips(person.coefficients)
            coefficients = (person.coefficients + expressions[n])[None]
            head = self.model.vertices(coefficients)[0]
            self._render(head, person, session, frame, row, aus[n], faces[n])
        return faces

    def _render(
        self, head: np.ndarray, person: Person, session: Session, frame: Frame, row, aus, out
    ) -> None:
        model = self.model
        eyes = np.stack([head[side].mean(0) for side in self._eyes])
        normals = np.empty_like(head)
        vertex_normals(head, model.triangles, normals)
        _comb(
            head, normals, model.rest, model.masks, person.hairline, person.recession,
            person.hair_thickness * (1 - person.baldness),
        )  # fmt: skip

        vertices, triangles, parts = [head], [model.triangles], [model.parts]
        count = len(head)
        ears = np.stack([head[side].max(0) for side in self._ears])
        half_width = max(np.abs(head[side, 0]).max() for side in self._ears)
        if person.hair_length >= _SHORTEST_LOCKS:
            chin = float(head[self._chin, 1])
            mesh = locks(half_width, person.hair_length, person.hair_thickness, chin)
            vertices.append(mesh)
            triangles.append(LOCK_TRIANGLES + count)
            parts.append(np.full(len(LOCK_TRIANGLES), PART_HAIR, np.uint8))
            count += len(mesh)
        lenses = np.empty((0, 3), np.int64)
        if row.eyeglasses:
            ears[:, 0] = [-half_width + 0.04, half_width - 0.04]
            ears[:, 2] = [head[side, 2].mean() for side in self._ears]
            mesh = glasses(
                eyes, ears, head[self._brows, 2].max(), person.glasses_width, person.glasses_height,
                person.glasses_squareness, person.rim,
            )  # fmt: skip
            vertices.append(mesh)
            triangles.append(FRAME_TRIANGLES + count)
            parts.append(np.full(len(FRAME_TRIANGLES), PART_FRAME, np.uint8))
            lenses = LENS_TRIANGLES + count
            count += len(mesh)

        vertices = np.concatenate(vertices).astype(np.float32)
        triangles, parts = np.concatenate(triangles), np.concatenate(parts)
        rest = np.zeros_like(vertices)
        rest[: len(head)] = model.rest
        masks = np.tile(np.array([0, 0, 0, 0.75], np.float32), (len(vertices), 1))
        masks[: len(head)] = model.masks

        turned = (vertices - _PIVOT) @ _rotation(session, frame).T
        turned = turned.astype(np.float32)
        normals = np.empty_like(turned)
        vertex_normals(turned, triangles, normals)
        sight = (eyes - _PIVOT) @ _rotation(session, frame).T
        screen = self._project(turned, sight, session.distance)

        self._depth[:] = np.inf
        self._seen[:] = -1
        head_triangles = len(model.triangles)
        rasterize(
            screen, triangles, 0, head_triangles, False, self._depth, self._seen, self._weights
        )
        rasterize(
            screen, triangles, head_triangles, len(triangles), True, self._depth, self._seen,
            self._weights,
        )  # fmt: skip
        glass = np.zeros_like(self._seen)
        if len(lenses):
            through = np.full_like(self._seen, -1)
            rasterize(
                screen, lenses, 0, len(lenses), True, self._depth.copy(), through,
                np.empty_like(self._weights),
            )  # fmt: skip
            glass = through + 1
        paint = _paint(person, session, frame, row.beard)
        shade(
            self._seen, self._weights, glass > 0, triangles, parts, rest, normals, masks, aus,
            paint, out,
        )  # fmt: skip

    def _project(self, turned: np.ndarray, eyes: np.ndarray, distance: float) -> np.ndarray:
        """Columns, rows (in samples) and depths, float32 (V, 3), with the eyes at their places."""
        side = 2 * self.size

        def perspective(points: np.ndarray) -> np.ndarray:
            return points[:, :2] / (distance - points[:, 2:]) * distance

        right, left = perspective(eyes)
        # The distance of the eyes in space: turning the head must not enlarge it.
        nearness = distance / (distance - eyes[:, 2].mean())
        scale = EYE_DISTANCE * side / (np.linalg.norm(eyes[1] - eyes[0]) * nearness)
        centre = (right + left) / 2
        points = (perspective(turned) - centre) * scale
        column, row = side / 2 + points[:, 0], EYE_ROW * side - points[:, 1]
        return np.column_stack([column, row, -turned[:, 2]]).astype(np.float32)


def _rotation(session: Session, frame: Frame) -> np.ndarray:
    """Rotation (3, 3) of the head: roll after pitch after yaw."""
    yaw, pitch, roll = session.yaw + frame.yaw, session.pitch + frame.pitch, frame.roll
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _paint(person: Person, session: Session, frame: Frame, beard: bool) -> Paint:
    shared = person._asdict() | session._asdict()
    gaze = np.array([frame.gaze_x, frame.gaze_y, 1.0])
    gaze /= np.linalg.norm(gaze)
    shared |= {"gaze_x": gaze[0], "gaze_y": gaze[1], "gaze_z": gaze[2]}
    shared["beard_density"] *= float(beard)
    return Paint(**{field: shared[field] for field in Paint._fields})


@njit(cache=True)
def _comb(head, normals, rest, masks, hairline, recession, thickness):
    """Raise the scalp by the thickness of its hair."""
    for v in range(len(head)):
        if masks[v, 2] > 0.3 or masks[v, 1] > 0.3:
            continue
        height = hairline_height(rest[v, 0], rest[v, 2], hairline, recession)
        lift = thickness * smooth(-0.02, 0.3, rest[v, 1] - height)
        for k in range(3):
            head[v, k] += lift * normals[v, k]
