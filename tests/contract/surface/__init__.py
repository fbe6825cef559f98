"""What others rely on: OpenAPI, AsyncAPI, metrics, settings and database schemas, held against a stored snapshot."""
