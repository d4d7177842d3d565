"""Estimates that a few wild values do not move."""

from .scale import dispersion
from .place import middle
