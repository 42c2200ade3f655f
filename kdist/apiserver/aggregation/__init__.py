"""The aggregation layer: groups and versions that another server serves, by APIService objects.

``backends`` follows the APIServices and knows where each remote one is served, ``proxying`` passes requests on,
``availability`` checks the servers and writes the Available condition, ``remotediscovery`` and ``remoteopenapi``
keep what they publish, ``groups`` puts everything served into one order, ``registering`` keeps the APIServices of
what this server serves itself. A server without remote APIServices pays one empty lookup per request.
"""
