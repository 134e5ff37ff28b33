"""The command line, `imagegen`: one command a module. What a command does belongs into the rooms below."""
