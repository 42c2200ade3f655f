"""The Pod Security Standards: what pods may do at the levels privileged, baseline and restricted. Pure.

:mod:`policy` reads what a namespace asks for, :mod:`evaluation` judges a pod by it, :mod:`baseline` and
:mod:`restricted` hold the rules of the published standards, in the versions in which they changed.
"""
