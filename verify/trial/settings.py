"""The names of `verify.settings` where they used to be."""

from verify.settings import PROFILES, Profile, Settings

__all__ = ["PROFILES", "Profile", "Settings"]
