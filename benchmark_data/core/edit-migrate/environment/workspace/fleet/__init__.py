"""Vehicles, drivers and trips of a fleet."""
