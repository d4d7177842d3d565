"""`python -m sica`."""

from sica.cli.main import main

main()
