"""The evaluation as one page that opens anywhere: figures in words, tables and plots."""
