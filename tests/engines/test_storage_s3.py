from tests.contract.storage_suite import StorageContract


class TestS3(StorageContract):
    """The suite of tests/contract over a real S3 server; ``remote`` comes from conftest.py."""
