"""Makes the small problem of this folder importable, also by a script that runs it elsewhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
