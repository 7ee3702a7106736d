"""Looking whether a store holds what it says: `findings` are the words, `ledger` and `chains` check records, `contents`
bytes, `needs` says whom it concerns; `salvage` and `restoring` are what repair is made of.

Looking changes nothing. What runs mean is not known here: `runs/mending.py` puts both together.
"""
