"""The claims of the paper, in its own figures.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", IV.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One figure or table of the paper.

    Attributes:
        title: heading of its section.
        source: where the paper shows it; empty for what the paper does not show.
        paper: what the paper reports.
    """

    title: str
    source: str
    paper: str


CLAIMS: dict[str, Claim] = {
    "occurrence": Claim(
        "How often each AU occurs",
        "Fig. 1",
        "Real data are highly skewed; generated data have each AU equally often.",
    ),
    "correlation": Claim(
        "Which AUs occur together",
        "Fig. 5",
        "The mean absolute correlation between AUs, as read by an estimator, falls from 0.16 in "
        "real faces to 0.09 in generated ones.",
    ),
    "detection": Claim(
        "Detectors with and without generated faces",
        "Fig. 6",
        "Mean F1 rises from 39 to 49 % (+25 %), by 20 % on FEAFA and by 4 % on BP4D.",
    ),
    "learning_curve": Claim(
        "How much annotated data generated faces are worth",
        "Fig. 7",
        "Real faces alone would need about 5 times as much annotated data.",
    ),
    "pair_fpr": Claim(
        "AUs detected because of others",
        "Fig. 8",
        "The mean false positive rate of AU pairs falls by 7.4 points, from about 14 %.",
    ),
    "fidelity": Claim(
        "How precisely faces are edited",
        "Fig. 10",
        "The AU error rises with the number of edited AUs and is lower than that of other methods; "
        "identity drift stays below the threshold of the recogniser.",
    ),
    "strategies": Claim(
        "Other ways to learn from few labels",
        "Fig. 11",
        "Reweighting does not raise F1; pretraining does, and most together with generated faces. "
        "AU-pair false positives: about 14 % (real), 12 % (reweighting), 10 % (pretraining), 6.5 % "
        "(generated).",
    ),
    "disentanglement": Claim(
        "What conditioning and projection do",
        "Table I, Fig. 12",
        "SSIM to the target photograph rises from 0.8125 (base) to 0.8233 (conditioned) and 0.8300 "
        "(also projected).",
    ),
    "ablation": Claim(
        "Which generated faces help",
        "Fig. 13",
        "Edited and synthetic faces help alike, and both together most.",
    ),
    "neutralization": Claim("How neutral synthetic people are", "", ""),
    "linearity": Claim("Edits of any strength", "", ""),
    "amount": Claim("How many generated faces are enough", "", ""),
    "groups": Claim("Gender and age groups", "", ""),
}
"""Key of a section in results.json → what it is compared with, in the order of the report."""
