"""In which forms a run can be had: by name, for the command line too, which must start at once."""

from typing import Literal

Format = Literal["onnx", "openvino", "openvino-bf16", "openvino-int8", "torch"]
"""What `export` writes."""
Runtime = Literal["auto", Format]
"""What predictions are computed with: `auto` is the fastest certified, `torch` the run itself."""
