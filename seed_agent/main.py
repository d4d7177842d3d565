"""Starts the agent. As a file and not with `-m`, which would look for the package in the workspace first."""

from seed.start import main

raise SystemExit(main())
