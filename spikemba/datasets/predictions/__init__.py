"""Files of predictions in every form that is in circulation, as one record, and out again.

In:    what moment_detr and its successors, lighthouse, TimeLens, video language models or `ground --json` write.
Out:   `Predictions`: a row per query, with its moments; and files of any of those forms.
First: predictions.py; forms.py lists the forms, one file each.
"""
