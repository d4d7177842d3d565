from .old import spread
