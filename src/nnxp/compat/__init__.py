"""Other people's names for what nnxp does, so that their scripts run on it."""
