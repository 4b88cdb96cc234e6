"""Import torchvision also where its compiled operators do not fit the installed torch.

A CPU build of torch beside PyPI's CUDA build of torchvision stops at ``import torchvision`` with "operator
torchvision::nms does not exist": the Python part registers shape rules for operators that the compiled part
never defined. We declare those names (without an implementation) and import again. Datasets, transforms and
models then work; ``torchvision.ops`` and ``torchvision.io`` do not, and this project uses neither.
On a matching install this is a plain import.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch

# The declarations live as long as the library object does.
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """The ``torchvision`` module; any other failure of its import is passed on unchanged."""
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        # The first attempt left half-initialised submodules behind.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import torchvision
    return torchvision
