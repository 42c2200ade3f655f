"""Nodes that have the pod's images already are preferred, unless everybody would go there."""

from __future__ import annotations

import numpy as np

from kdist.scheduler.framework import MAX_SCORE, Plugin, State
from kdist.scheduler.nodetable import Rows, Scores
from kdist.scheduler.podinfo import PodInfo

_MIB = 1024 * 1024
# Images smaller than this do not matter, larger ones count as this large (bytes per container).
SMALLEST, LARGEST = 23 * _MIB, 1000 * _MIB


class ImageLocality(Plugin):
    """The bytes that need not be pulled, scaled by how widely the image is spread."""

    name = "ImageLocality"

    def score(self, pod: PodInfo, state: State, rows: Rows) -> Scores | None:
        """0 to 100 between the two thresholds."""
        spec = pod.spec
        containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        found = [self.table.images.get(_normalized(c.get("image") or "")) for c in containers]
        if not any(found):
            return None
        nodes = int(np.count_nonzero(self.table.valid))
        total = np.zeros(len(rows))
        for image in found:
            if image is not None:
                having = self.table.image_nodes(image)
                total += image.size * np.count_nonzero(having) / nodes * having[rows]
        most = LARGEST * len(containers)
        scores: Scores = (np.clip(total, SMALLEST, most) - SMALLEST) / (most - SMALLEST) * MAX_SCORE
        return scores


def _normalized(image: str) -> str:
    """Nodes report names with a tag: ``nginx`` is ``nginx:latest``."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
