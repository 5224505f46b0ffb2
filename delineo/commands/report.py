"""delineo report"""

from .console import print_text, write_json
from .options import JsonFile, RunFolder


def report(run: RunFolder, json_file: JsonFile = None) -> None:
    """Write the run's report.html anew."""
    from ..report import write_report

    page = write_report(run)
    write_json(json_file, {"report": str(page)})
    print_text(f"report: {page}")
