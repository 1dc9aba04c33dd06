"""How this process treats its memory."""

from __future__ import annotations

import gc


def settle() -> None:
    """Let the cycle collector look less often, and never at what is there now.

    Called when much has been imported that stays. Calls make no cycles worth a pass every 700
    objects (at its defaults it took a tenth of the CPU), and a pass over the web app's modules
    holds everybody up for more than 10 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
