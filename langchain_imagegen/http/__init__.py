"""Base64 taken out of answers under other HTTP clients. No other room touches private names of other libraries."""
