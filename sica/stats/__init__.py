"""Every number that sica shows beside a score: intervals, paired tests, power. Pure, standard library, deterministic.

Nothing here throws dice but the sign-flip test of many odd differences, and that one throws the same ones each time.
docs/statistics.md says which is used where and what it is worth.
"""

from sica.stats.estimates import Estimate, coverage, estimate, mean_of_means, overstatement
from sica.stats.paired import (
    SEPARABLE,
    Comparison,
    compare,
    difference_interval,
    holm,
    mcnemar,
    pairs_needed,
    sign_flip,
    swapped,
    trials_needed,
)
from sica.stats.proportions import Z95, pass_at_k, pass_hat_k, wilson
from sica.stats.resampling import resampled_interval

__all__ = [
    "SEPARABLE",
    "Z95",
    "Comparison",
    "Estimate",
    "compare",
    "coverage",
    "difference_interval",
    "estimate",
    "holm",
    "mcnemar",
    "mean_of_means",
    "overstatement",
    "pairs_needed",
    "pass_at_k",
    "pass_hat_k",
    "resampled_interval",
    "sign_flip",
    "swapped",
    "trials_needed",
    "wilson",
]
