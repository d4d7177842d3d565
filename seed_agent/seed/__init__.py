"""Generation zero: a plain coding agent. Start reading at loop.py; what can be tuned is in settings.py."""
