"""Lean HTTP/1.1 connections to one address."""
