"""The service's JSON: requests, answers and errors of both APIs, and the SDK's errors. No network, no files."""
