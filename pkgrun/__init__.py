"""pkgrun runs the training pipelines of ML packages and gives each result a version."""

__version__ = "0.1.0"
