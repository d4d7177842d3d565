"""Tables of figures."""

from .classic import mean, spread


def summary(values):
    return {"mean": mean(values), "spread": spread(values)}
