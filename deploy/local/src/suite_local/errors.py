"""What goes wrong on one machine, said in one line to the person in front of it."""


class SuiteLocalError(Exception):
    """Base of everything that is shown as one clear line; the message says what to do."""


class InfrastructureMissingError(SuiteLocalError):
    """A server is not there and cannot be had; the message names the package to install."""


class NotReadyError(SuiteLocalError):
    """Something did not become ready in time; the message carries its last log lines."""


class CrashingError(NotReadyError):
    """A program ends as often as it is started; waiting would not help."""


class AlreadyTakenError(SuiteLocalError):
    """A port or run directory is in use by something that is not ours."""


class BackupError(SuiteLocalError):
    """A backup cannot be taken, or what is given is none; nothing that ran was touched."""
