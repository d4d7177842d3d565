"""sica versions, evaluates and evolves coding agents. Start reading at sica/loop.py."""

__version__ = "0.1.0"
