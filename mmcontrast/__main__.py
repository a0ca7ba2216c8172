"""``python -m mmcontrast``."""

import sys

from mmcontrast.cli.main import main

sys.exit(main())
