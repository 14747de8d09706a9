"""Commands that install the optional packages, for hints: the same in a checkout and in an installed copy.

This package is not in a registry, so its extras cannot be installed by name. `pip` must be that of the environment.
"""

OCR_ENGINE = "pip install 'onnxruntime>=1.20' 'rapidocr>=3.10,<3.11'"
RAY = "pip install 'ray>=2.50'"
