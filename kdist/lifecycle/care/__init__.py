"""Looking after a running cluster: what it is (status), what is wrong and what mends it (doctor).

:mod:`hostfacts` is sent to hosts and observes them, :mod:`picture` brings hosts and API together; whatever judges is
pure and works on a :class:`picture.Picture`. All of it works with the API down and with hosts down.
"""
