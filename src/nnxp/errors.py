"""What can go wrong, as classes.

Every error derives from `NnxpError` and from the built-in that fits, so that both ``except NnxpError`` and
``except ValueError`` do what a reader expects. A message says what arrived, what was expected and what to do.
"""

__all__ = [
    "BackendError",
    "ConfigurationError",
    "ConversionWarning",
    "DataError",
    "DownloadError",
    "DtypeError",
    "FileFormatError",
    "FileNotFound",
    "FileNotWritable",
    "GradientError",
    "MissingDependencyError",
    "NnxpError",
    "NotBuiltError",
    "OrderError",
    "OutOfMemoryError",
    "PerformanceWarning",
    "ShapeError",
    "TrainingError",
    "TransferWarning",
]


class NnxpError(Exception):
    """The parent of all errors of nnxp."""


class ShapeError(NnxpError, ValueError):
    """An array has the wrong shape."""


class DtypeError(NnxpError, TypeError):
    """An array has the wrong data type."""


class DataError(NnxpError, ValueError):
    """An array has the right shape and type, and values that cannot be learned from."""


class ConfigurationError(NnxpError, ValueError):
    """A layer, loss, optimizer or model was given an argument that makes no sense."""


class BackendError(NnxpError, RuntimeError):
    """An array library, its device or its data type is not usable here."""


class MissingDependencyError(NnxpError, ImportError):
    """An optional package is needed and not installed."""


class NotBuiltError(NnxpError, RuntimeError):
    """The parameters do not exist yet, because the input shape is not known."""


class OrderError(NnxpError, RuntimeError):
    """A method was called before the one that it needs, such as backward before forward."""


class TrainingError(NnxpError, ArithmeticError):
    """Training diverged; the model was put back to its last finished epoch."""


class OutOfMemoryError(NnxpError, MemoryError):
    """Memory ran out, on the device or on the host; the message says what was needed, what is free, and what fits.

    ``batch_size`` is a number of samples that should fit, where one can be told, else None.
    """

    def __init__(self, message: str, *, batch_size: int | None = None) -> None:
        super().__init__(message)
        self.batch_size = batch_size


class GradientError(NnxpError, AssertionError):
    """A backward is not the derivative of its forward."""


class FileFormatError(NnxpError, ValueError):
    """A file exists, and is not what it should be: truncated, tampered with, or of another program."""


class FileNotFound(NnxpError, FileNotFoundError):
    """A file that should be read does not exist."""


class FileNotWritable(NnxpError, OSError):
    """A file could not be written; what stood there before is whole."""


class DownloadError(NnxpError, ConnectionError):
    """A file could not be downloaded; the message names each mirror's reason and what to do by hand."""


class PerformanceWarning(UserWarning):
    """Something is done in a slower way than usual; the results are the same."""


class ConversionWarning(UserWarning):
    """Data was converted on its way in, at a cost that the caller can avoid."""


class TransferWarning(UserWarning):
    """Arrays were moved to the device that the model is on; it is said once a model.

    It is no `ConversionWarning`: one transfer of a whole data set is as it should be, and is silenced for that reason.
    """
