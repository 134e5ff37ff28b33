"""Pictures in an agent: the tool, the middleware, and one model call. Nothing here draws."""
