"""The names of `verify.environment` where they used to be."""

from verify.environment import PROFILES, Profile, Settings

__all__ = ["PROFILES", "Profile", "Settings"]
