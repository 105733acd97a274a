"""What can go wrong, by kind. A message says what was given, what is allowed, and the remedy."""


class DistilBertError(Exception):
    """The base of every error that this package raises on purpose."""


class ConfigError(DistilBertError, ValueError):
    """A configuration holds a value that cannot work."""


class FileError(DistilBertError, OSError):
    """A file or folder is missing, damaged, hostile, or not what its name says."""


class InputError(DistilBertError, ValueError):
    """An argument or input of a call cannot be used: its type, shape, range or content."""


class TokenizerError(DistilBertError, ValueError):
    """A vocabulary or tokenizer setting cannot work."""


class AdapterError(DistilBertError, ValueError):
    """An adapter, a head or a composition of them cannot be added, found, combined or run."""
