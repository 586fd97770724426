"""From a recipe that a job declares to the object that makes its rows."""
