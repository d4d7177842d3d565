"""Asks a list of places for news."""
