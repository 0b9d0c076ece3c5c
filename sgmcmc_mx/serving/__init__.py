"""The average outside: as files that plain MXNet serves, and as fewer samples."""
from .exporting import Exported, export
from .thinning import ThinnedSamples, thin

__all__ = ["Exported", "ThinnedSamples", "export", "thin"]
