"""delineo report"""

from .console import print_text
from .options import RunFolder


def report(run: RunFolder) -> None:
    """Write the run's report.html anew."""
    from ..report import write_report

    print_text(f"report: {write_report(run)}")
