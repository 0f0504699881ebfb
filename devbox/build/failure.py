"""The failure of a build that is the Dockerfile's or its programs', not devbox's."""

from devbox.build.language.syntax import Span
from devbox.errors import DevboxError


class StepError(DevboxError):
    """A step that failed: a program's exit code and last lines, or why files could not be copied."""

    exit_code = 1

    def __init__(self, message: str, span: Span, *, hint: str = "", state: tuple[int, ...] = ()) -> None:
        super().__init__(f"{span}: {message}", hint=hint)
        self.span = span
        self.state = state
        """the layers that the step began with"""
