"""A comparison for people and programs: as tables, as Markdown and as JUnit XML, with one wording for all."""
