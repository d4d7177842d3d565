"""What other programs use."""

from .robust import dispersion as spread
from .tables import summary
