"""The command line: parser, commands, tables and progress."""
