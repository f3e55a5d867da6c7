"""Measure how faithfully edits reach target pictures of people whom no stage has seen.

    python -m tasks.fidelity [--device cuda] [--batch-size N]

Reads   data/ingest, data/encode, data/neutralizer, data/generator, data/oracle, data/editor,
        data/config/au_graph.yaml; params datasets, sampling, ingest, editor, fidelity.
Writes  data/fidelity/pairs.parquet (each pair edited by each editor), summary.parquet (by editor,
        and by editor and number of AUs), differences.parquet (between editors), effects.parquet
        and linearity.parquet (edits of one AU), examples.parquet (GALLERY_SCHEMA), metrics.json.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from facsimile.editing import Editor, load_editor
from facsimile.editing.ablation import fit_variants
from facsimile.faces.aus import AUS
from facsimile.faces.tables import to_tensor, to_uint8
from facsimile.generator import Codes, Generator
from facsimile.measurement.metrics import mean_defined
from facsimile.paper.edit_fidelity import (
    DEFAULT,
    EXACT,
    compare_editors,
    linearity_of,
    measure_effects,
    measure_linearity,
    summarise_effects,
    summarise_pairs,
)
from facsimile.paper.edit_trials import EditTrials
from tasks.helpers.edit_bench import (
    EditBench,
    single_sheet,
    target_sheet,
    try_pairs,
    try_singles,
)
from tasks.helpers.edit_pairs import EditPairs, read_pairs
from tasks.helpers.editor_data import read_editor_data
from tasks.helpers.face_reader import load_face_reader
from tasks.helpers.generator_loading import load_generator
from tasks.helpers.identity import identity_threshold
from tasks.params import (
    DatasetsParams,
    EditorParams,
    FidelityParams,
    IngestParams,
    SamplingParams,
)
from tasks.shared.artefacts import EDITOR
from tasks.shared.stage import Compute, main, progress


def run(
    out: Path,
    compute: Compute,
    datasets: DatasetsParams,
    sampling: SamplingParams,
    ingest: IngestParams,
    editor: EditorParams,
    fidelity: FidelityParams,
) -> dict[str, Any]:
    """Edit the sources with the default editor and those of the ablation, and compare."""
    generator = load_generator(compute, sampling)
    data = read_editor_data(datasets, generator)
    variants = fit_variants(data, generator, editor.linear, progress)
    editors: dict[str, Editor] = variants | {DEFAULT: load_editor(EDITOR)}
    aus = tuple(au for au in AUS if all(au in each.aus for each in editors.values()))
    faces = read_pairs(datasets, ingest, fidelity, aus)
    codes, reconstructions = invert(generator, faces, compute)
    bench = EditBench(
        faces,
        EditTrials(generator, editors, faces.sources["sample_id"], codes),
        load_face_reader(data, generator, compute),
        reconstructions,
        fidelity,
    )
    pairs = try_pairs(bench, compute)
    singles = try_singles(bench, aus, compute)
    examples = [*target_sheet(bench, pairs), *single_sheet(bench, singles)]
    pq.write_table(pa.concat_tables(examples), out / "examples.parquet")

    threshold = identity_threshold()
    overall = summarise_pairs(pairs, ["editor"], threshold)
    by_count = summarise_pairs(pairs, ["editor", "n_aus"], threshold)
    entailed = {au: editors[DEFAULT].entailed(au) for au in aus}
    effects = measure_effects(singles[singles["s"] == 1.0])
    linearity = measure_linearity(singles[singles["editor"].isin([EXACT, DEFAULT])], entailed)
    tables = {
        "pairs": pairs.drop(columns="image"),
        "summary": pd.concat([overall, by_count]).astype({"n_aus": "Int64"}),
        "differences": pd.concat(
            compare_editors(pairs, reference, seed=fidelity.seed)
            for reference in (DEFAULT, "base")
            if reference in editors
        ),
        "effects": effects,
        "linearity": linearity,
    }
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)
    scores = overall.set_index("editor")
    targets = pairs.drop_duplicates("pair_id")
    return {
        "au_mae": scores.at[DEFAULT, "au_mae"],
        "exact_targets": faces.single_targets is not None,
        "pairs": len(targets),
        "people": targets["subject_id"].nunique(),
        "estimator_mae": mean_defined(targets["target_mae_labels"]),
        "identity_threshold": threshold,
        "editors": scores.drop(columns=["pairs", "people"]).to_dict("index"),
        "singles": summarise_effects(effects, entailed).set_index("editor").to_dict("index"),
        "linearity": {
            name: linearity_of(rows) for name, rows in linearity.groupby("editor", sort=False)
        },
    }


def invert(generator: Generator, faces: EditPairs, compute: Compute) -> tuple[Codes, np.ndarray]:
    """Codes of the sources with x_T, on the CPU, and their reconstructions."""
    parts: list[Codes] = []
    decoded: list[np.ndarray] = []
    with progress("invert sources", len(faces.sources)) as advance:
        for start in range(0, len(faces.sources), compute.batch_size):
            rows = faces.sources.iloc[start : start + compute.batch_size]
            images = to_tensor(faces.images(rows))
            codes = generator.invert(images, generator.encode(images))
            parts.append(codes.to("cpu"))
            decoded.append(to_uint8(generator.decode(codes.replace_z(codes.z))))
            advance(len(rows))
    return Codes.concatenate(parts), np.concatenate(decoded)


if __name__ == "__main__":
    main("fidelity", run)
