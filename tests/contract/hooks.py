"""Restricts the requests of schemathesis (`SCHEMATHESIS_HOOKS`)."""

import schemathesis


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """Excludes lists and objects: they are put into the path unquoted, and a `?` in them gives another path."""
    return not any(isinstance(value, list | dict) for value in (path_parameters or {}).values())
