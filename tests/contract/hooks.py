"""What schemathesis may ask (`SCHEMATHESIS_HOOKS`)."""

import schemathesis


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """A list is written into the path as Python shows it, unquoted: with a `?` in it, it is another path."""
    return not any(isinstance(value, list | dict) for value in (path_parameters or {}).values())
