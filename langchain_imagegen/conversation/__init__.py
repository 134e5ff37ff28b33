"""The images of a conversation: memory, state channel, messages, content blocks, references. Nothing here draws."""
