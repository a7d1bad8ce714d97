"""Fakes, contracts and lab fixtures shared by the tests."""
