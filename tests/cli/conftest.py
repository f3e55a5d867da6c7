"""The tiny DVC projects of the tests of flows serve here as well."""

from tests.flows.conftest import empty_project, project

__all__ = ["empty_project", "project"]
