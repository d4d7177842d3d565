"""`python -m sica`."""

from sica.cli.entry import main

main()
