"""What holds for every test: no property may fail for a machine that is busy."""

from hypothesis import settings

settings.register_profile("no clock", deadline=None)
settings.load_profile("no clock")
