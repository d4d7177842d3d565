"""Figures about figures."""

from .api import spread, summary
