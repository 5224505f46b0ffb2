"""What can go wrong, as a tree.

DelineoError
├── ConfigError     a setting or a command is wrong: fix what was typed
├── DataError       images or masks are wrong: fix the files
│   ├── AnnotationError   a file of outlines (COCO, YOLO, LabelMe) is wrong
│   └── NoFolderError     what was named as a data folder is none: also a ConfigError
├── RunError        a run directory is missing, foreign, incomplete or already there
│   └── NoRunError        what was named as a run is none: also a ConfigError
├── TrainingError   training had to stop: non-finite loss, out of memory
│   └── InterruptionError   somebody asked it to stop: all is saved, it can go on
├── DiskFullError   what was to be written found no room: nothing is half-written
├── MemoryFullError a GPU has no room left for an image: what was written before is whole
└── ShapeError      an array or tensor has the wrong shape

Each message says what was found, what was expected and what to do next.
"""


class DelineoError(Exception):
    """Base of every error that Delineo raises on purpose."""


class ConfigError(DelineoError, ValueError):
    """A setting, an override or a combination of settings is not possible."""


class DataError(DelineoError, ValueError):
    """A data folder or a file in it cannot be used as it is."""


class AnnotationError(DataError):
    """A file of outlines cannot be understood, or none of its images is there."""


class NoFolderError(DataError, ConfigError):
    """A data folder was named that is not there, or is a file."""


class RunError(DelineoError):
    """A run directory is missing, incomplete, foreign or would be overwritten."""


class NoRunError(RunError, ConfigError):
    """A run was named that is not there, or is something else."""


class TrainingError(DelineoError, RuntimeError):
    """Training stopped: the loss is not finite or memory ran out."""


class InterruptionError(TrainingError):
    """Training was asked to stop, by Ctrl-C or SIGTERM. All is saved, and it can go on."""


class DiskFullError(DelineoError):
    """There was no room for a result. What is on disk is whole."""


class MemoryFullError(DelineoError, MemoryError):
    """A GPU had no memory left for an image. What is on disk is whole."""


class ShapeError(DelineoError, ValueError):
    """An array or a tensor does not have the shape that is needed."""
