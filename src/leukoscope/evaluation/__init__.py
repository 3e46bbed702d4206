"""Judgement of a prediction table: metrics, intervals by subject, calibration, the ruler, the report."""
