import orjson

from kdist.controllers import revisions


def test_a_revision_has_the_very_bytes_that_clients_look_for() -> None:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}]}, "metadata": {"labels": {"a": "b"}}}
    data = revisions.template_data({"spec": {"template": template}})
    assert orjson.dumps(data) == (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"creationTimestamp":null,"labels":{"a":"b"}},'
        b'"spec":{"containers":[{"image":"i","name":"c","resources":{}}]}}}}'
    )
    assert "resources" not in template["spec"]["containers"][0]  # type: ignore[index]
