"""Processes that grade: on this machine or on a cluster, what they are given to do, and what becomes of it when one is lost."""
