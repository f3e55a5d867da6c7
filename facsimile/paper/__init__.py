"""The experiments of the paper and of this project, as `facsimile paper` runs them.

Source: "Controlled Face Manipulation and Synthesis for Data Augmentation", section IV.
"""

from facsimile.paper.trial_arms import TRIALS, Added, Trial

__all__ = ["TRIALS", "Added", "Trial"]
