"""Words in, words out: parser, commands, tables, progress."""
