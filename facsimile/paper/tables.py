"""The numbers of each section of results.json as one table."""

from collections.abc import Callable, Mapping
from typing import Any

from facsimile.faces.arms import ALL_GENERATED
from facsimile.faces.aus import AUS
from facsimile.faces.origins import REAL
from facsimile.paper.edit_findings import NAMES
from facsimile.paper.findings import title
from facsimile.result_table import Table, interval_text

Values = Mapping[str, Any]


def occurrence(values: Values) -> Table:
    kinds = ("real", "generated", "both")
    rows = [[au, *(values[kind]["count"][au] for kind in kinds)] for au in AUS]
    ratios = ["most : least", *(values[kind]["ratio"] for kind in kinds)]
    return Table(["AU", "real", "generated", "both"], [*rows, ratios])


def correlation(values: Values) -> Table:
    names = {
        "labels_real": "labels of real faces",
        "estimator_real": "readings of real faces",
        "estimator_generated": "readings of generated faces",
    }
    rows = [[names.get(panel, panel), mean] for panel, mean in values["mean_abs"].items()]
    return Table(["", "mean absolute correlation"], rows)


def detection(values: Values) -> Table:
    columns = ["people", "trained on", "F1", "± SE", "F1 without AU05", "ICC(3,1)", "AU-pair FPR"]
    rows = [
        [
            place,
            title(arm),
            score["f1"]["mean"],
            score["f1"]["se"],
            score["f1_without_AU05"]["mean"],
            score["icc"]["mean"],
            score["pair_fpr"]["mean"],
        ]
        for place, scores in values["sets"].items()
        for arm, score in scores["scores"].items()
    ]
    return Table(columns, rows)


def learning_curve(values: Values) -> Table:
    rows = [
        [f"{point['size']:,.0f} {kind}", point["mean"], point["se"], None]
        for kind in ("people", "frames")
        for point in values[kind]["points"]
    ]
    for kind in ("people", "frames"):
        worth = values[kind]["multiple"]
        rows.append([f"generated faces, in {kind}", None, None, interval_text(worth, "× ")])
    rows.append(["real + generated", values["generated"]["mean"], values["generated"]["se"], None])
    for name, ceiling in values["ceilings"].items():
        share = f"{100 * ceiling['share_of_gain']:.0f} % of this gain reached"
        rows.append([title(name), ceiling["mean"], ceiling["se"], share])
    return Table(["annotated data", "F1", "± SE", "worth"], rows)


def pair_fpr(values: Values) -> Table:
    rows = [
        [
            place,
            score[REAL]["mean"],
            score[ALL_GENERATED]["mean"],
            interval_text(score["difference"]),
        ]
        for place, score in values["sets"].items()
    ]
    return Table(["people", "real", "real + generated", "difference"], rows)


def strategies(values: Values) -> Table:
    rows = [
        [
            title(arm),
            score["f1"]["mean"],
            score["f1"]["se"],
            score["pair_fpr"]["mean"],
            interval_text(score["gain"]),
        ]
        for arm, score in values["arms"].items()
    ]
    return Table(["trained with", "F1", "± SE", "AU-pair FPR", "gain of F1"], rows)


def ablation(values: Values) -> Table:
    real = values[REAL]
    rows = [["real faces alone", real["mean"], real["se"], None, None, "", None]]
    for row in values["arms"].values():
        rows.append(
            [
                row["title"],
                row["f1"]["mean"],
                row["f1"]["se"],
                row["f1_without_AU05"]["mean"],
                row["pair_fpr"]["mean"],
                interval_text(row["gain"]),
                row["gain"]["p"],
            ]
        )
    columns = ["trained on", "F1", "± SE", "F1 without AU05", "AU-pair FPR", "gain of F1", "p"]
    return Table(columns, rows)


def fidelity(values: Values) -> Table:
    columns = [
        "editor",
        "AU error",
        "± SE",
        "error to labels",
        "drift",
        "lost",
        "SSIM",
        "PSNR (dB)",
    ]
    rows = [
        [
            NAMES[editor],
            score["au_mae"],
            score["au_mae_se"],
            score["au_mae_labels"],
            score["drift"],
            score["lost"],
            score["ssim"],
            score["psnr"],
        ]
        for editor, score in values["editors"].items()
    ]
    return Table(columns, rows)


def disentanglement(values: Values) -> Table:
    columns = ["editor", "SSIM", "± SE", "AU error", "edited AU", "other AUs", "attributes"]
    names = ("ssim", "ssim_se", "au_mae", "on_target", "leakage", "nuisances")
    rows = [
        [NAMES[editor], *(score.get(name) for name in names)]
        for editor, score in values["editors"].items()
    ]
    return Table(columns, rows)


def groups(values: Values) -> Table:
    real, generated = values["f1"][REAL], values["f1"][ALL_GENERATED]
    rows = [[name, real[name], generated[name]] for name in real]
    return Table(["people", "real", "real + generated"], rows)


TABLES: dict[str, Callable[[Values], Table]] = {
    "occurrence": occurrence,
    "correlation": correlation,
    "detection": detection,
    "learning_curve": learning_curve,
    "pair_fpr": pair_fpr,
    "strategies": strategies,
    "ablation": ablation,
    "fidelity": fidelity,
    "disentanglement": disentanglement,
    "groups": groups,
}
"""Section → its table. All have the shape that `to_json` leaves: None for undefined numbers."""
