"""The HTTP API: workers, pipelines and people. Each module holds the addresses of one concern."""
