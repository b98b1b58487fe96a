"""A resource provider for Pulumi's engine that stands in for AWS, Google Cloud or Azure: the same protocol, no cloud behind it.

``python -m tests.engines.pulumi.cloud_standin PACKAGE VERSION`` prints its port, as the engine expects, and serves. What it proves and
what it cannot stands in docs/decisions/0015-a-stand-in-for-three-clouds.md.
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.engines.pulumi.cloud_standin.injection import Injection
from tests.engines.pulumi.cloud_standin.service import Provider

STORE = "STANDIN_STORE"


def main(package: str, version: str) -> None:
    # Ctrl-C reaches the whole group; the engine lets what is under way end, and then ends its plugins.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 1 << 28)])
    provider = Provider(package, version, Path(os.environ[STORE]), Injection.told())
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


main(*sys.argv[1:3])
