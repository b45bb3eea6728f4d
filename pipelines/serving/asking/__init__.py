"""Questions and who works on them: what was asked, the queue, answers kept."""
