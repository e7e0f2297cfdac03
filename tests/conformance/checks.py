"""What several tests check in the same way."""

from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError


@contextmanager
def refused(code, text="", status=None):
    """The call inside is refused with this code and text."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response
    assert error["Error"]["Code"] == code, error
    assert text in error["Error"]["Message"], error
    if status is not None:
        assert error["ResponseMetadata"]["HTTPStatusCode"] == status, error
    assert error["ResponseMetadata"]["RequestId"], error


def pages_join_to_whole(client, operation, result, size, **arguments):
    """Pages of `size` hold each item once, none is too large, and together they are the whole. Answers the whole."""
    paginator = client.get_paginator(operation)
    whole = [item for page in paginator.paginate(**arguments) for item in page[result]]
    pages = [page[result] for page in paginator.paginate(**arguments, PaginationConfig={"PageSize": size})]
    assert all(len(page) <= size for page in pages), [len(page) for page in pages]
    assert len(pages) >= -(-len(whole) // size), "the pages were not cut"
    joined = [item for page in pages for item in page]
    assert joined == whole
    return whole
