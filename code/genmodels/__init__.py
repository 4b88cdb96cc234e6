"""genmodels: the code behind the report (PixelCNN on MNIST; Persian language models).

``report.qmd`` is the product; everything here exists so that each number in it can be made again.
"""

__version__ = "0.1.0"
