"""``python -m mask2iv``, which launchers of several processes need: ``accelerate launch -m mask2iv train ...``."""

import sys

from mask2iv.cli import main

sys.exit(main())
