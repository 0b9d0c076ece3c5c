"""Where samples are kept: in memory, or in a folder where nothing that is acknowledged is lost."""
from .folder import FolderStore
from .joining import JoinedSamples, as_samples, join
from .reading import StoredSamples, load
from .samples import MemoryStore, Sample
from .verifying import BadFile, verify

__all__ = ["BadFile", "FolderStore", "JoinedSamples", "MemoryStore", "Sample", "StoredSamples", "as_samples", "join",
           "load", "verify"]
