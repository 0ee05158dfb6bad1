"""`python -m edge_runtime`: the littoral command where no script is installed, as on an emulated device."""

import sys

from edge_runtime.command import main

sys.exit(main())
