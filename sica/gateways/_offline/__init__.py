"""The parts of the offline model; `sica.gateways.offline` says what it is. Standard library only."""
