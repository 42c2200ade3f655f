"""Custom resources: definitions become served resources, objects follow their structural schemas.

``registration`` follows the CustomResourceDefinitions, ``definition`` derives resources and types from one,
``shaping`` prunes and defaults objects, ``values`` and ``checks`` judge objects and schemas, ``strategy`` holds the
rules of custom resources, ``columns`` prints them. Imported when the first definition appears.
"""
