//! Whole configurations: good ones, and every way to get one wrong.
