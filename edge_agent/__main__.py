"""`python -m edge_agent` is the command `edge-agent`."""

import sys

from edge_agent.cli import main

sys.exit(main())
