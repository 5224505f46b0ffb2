"""A run, or a grid of runs, as one self-contained HTML page."""

from .comparison_page import write_comparison_page
from .page import write_report

__all__ = ["write_comparison_page", "write_report"]
