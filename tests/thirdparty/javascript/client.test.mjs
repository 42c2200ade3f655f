// @kubernetes/client-node against the API server that KUBECONFIG names, in the namespace NAMESPACE.
// Typed clients, the object API, patches, watch, informer, custom objects, errors.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as k8s from '@kubernetes/client-node';

const namespace = process.env.NAMESPACE;
const kc = new k8s.KubeConfig();
kc.loadFromFile(process.env.KUBECONFIG);
const core = kc.makeApiClient(k8s.CoreV1Api);
const apps = kc.makeApiClient(k8s.AppsV1Api);
const PATIENCE = 30_000;

const configMap = (name, data = {}, labels = {}) => ({ metadata: { name, labels }, data });
const deployment = (name, replicas) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'example.org/app:1' }] },
    },
  },
});

async function eventually(check, what) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const found = await check();
    if (found) return found;
    await new Promise((next) => setTimeout(next, 100));
  }
  assert.fail(`not within ${PATIENCE} ms: ${what}`);
}

test('typed clients create, read, replace and delete', async () => {
  const made = await core.createNamespacedConfigMap({ namespace, body: configMap('crud', { a: '1' }) });
  assert.ok(made.metadata.uid);
  assert.ok(made.metadata.creationTimestamp instanceof Date);
  const read = await core.readNamespacedConfigMap({ name: 'crud', namespace });
  read.data.a = '2';
  const replaced = await core.replaceNamespacedConfigMap({ name: 'crud', namespace, body: read });
  assert.notEqual(replaced.metadata.resourceVersion, made.metadata.resourceVersion);
  await core.deleteNamespacedConfigMap({ name: 'crud', namespace });
  await assert.rejects(core.readNamespacedConfigMap({ name: 'crud', namespace }), (error) => error.code === 404);
});

test('lists take selectors and pages', async () => {
  for (let n = 0; n < 5; n++) {
    await core.createNamespacedConfigMap({ namespace, body: configMap(`page-${n}`, {}, { page: 'yes' }) });
  }
  const names = [];
  let _continue;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'page=yes', limit: 2, _continue });
    names.push(...page.items.map((item) => item.metadata.name));
    _continue = page.metadata._continue;
  } while (_continue);
  assert.deepEqual(names, [0, 1, 2, 3, 4].map((n) => `page-${n}`));
});

test('every kind of patch', async () => {
  await core.createNamespacedConfigMap({ namespace, body: configMap('patched', { a: '1' }) });
  const patch = (body, strategy, more = {}) =>
    core.patchNamespacedConfigMap(
      { name: 'patched', namespace, body, ...more },
      k8s.setHeaderOptions('Content-Type', strategy),
    );
  await patch([{ op: 'replace', path: '/data/a', value: '2' }], k8s.PatchStrategy.JsonPatch);
  await patch({ data: { b: '1' } }, k8s.PatchStrategy.MergePatch);
  await patch({ data: { c: '1' } }, k8s.PatchStrategy.StrategicMergePatch);
  const applied = await patch(
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'patched' }, data: { d: '1' } },
    k8s.PatchStrategy.ServerSideApply,
    { fieldManager: 'javascript' },
  );
  assert.deepEqual(applied.data, { a: '2', b: '1', c: '1', d: '1' });
  assert.ok(applied.metadata.managedFields.some((m) => m.manager === 'javascript' && m.operation === 'Apply'));
});

test('errors carry the Status', async () => {
  const bad = { metadata: { name: 'Bad_Name' } };
  await assert.rejects(core.createNamespacedConfigMap({ namespace, body: bad }), (error) => {
    const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    assert.equal(error.code, 422);
    assert.equal(status.reason, 'Invalid');
    assert.equal(status.details.causes[0].field, 'metadata.name');
    return true;
  });
});

test('a deployment becomes ready and is scaled', async () => {
  await apps.createNamespacedDeployment({ namespace, body: deployment('web', 1) });
  const ready = (count) => async () =>
    (await apps.readNamespacedDeployment({ name: 'web', namespace })).status.readyReplicas === count;
  await eventually(ready(1), 'one ready pod');
  await apps.patchNamespacedDeploymentScale(
    { name: 'web', namespace, body: { spec: { replicas: 2 } } },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
  );
  await eventually(ready(2), 'two ready pods');
});

test('the object API creates, reads, patches, lists and deletes any kind', async () => {
  const objects = k8s.KubernetesObjectApi.makeApiClient(kc);
  const made = await objects.create(deployment('object', 0));
  assert.equal(made.spec.replicas, 0);
  const patched = await objects.patch({ ...deployment('object', 1), spec: { replicas: 1 } });
  assert.equal(patched.spec.replicas, 1);
  const listed = await objects.list('apps/v1', 'Deployment', namespace);
  assert.ok(listed.items.some((item) => item.metadata.name === 'object'));
  await objects.delete(made);
  await eventually(
    () => objects.read(made).then(() => false, (error) => error.code === 404),
    'the deployment is gone',
  );
});

test('a watch tells changes in order and ends by its timeout', async () => {
  const list = await core.listNamespacedConfigMap({ namespace });
  const seen = [];
  const ended = new Promise((resolve, reject) => {
    new k8s.Watch(kc)
      .watch(
        `/api/v1/namespaces/${namespace}/configmaps`,
        { resourceVersion: list.metadata.resourceVersion, fieldSelector: 'metadata.name=seen', timeoutSeconds: 3 },
        (type, object) => seen.push(`${type} ${object.data?.step}`),
        (error) => (error ? reject(error) : resolve()),
      )
      .catch(reject);
  });
  await core.createNamespacedConfigMap({ namespace, body: configMap('seen', { step: '1' }) });
  await core.replaceNamespacedConfigMap({ name: 'seen', namespace, body: configMap('seen', { step: '2' }) });
  await core.deleteNamespacedConfigMap({ name: 'seen', namespace });
  await ended;
  assert.deepEqual(seen, ['ADDED 1', 'MODIFIED 2', 'DELETED 2']);
});

test('an informer keeps a cache', async (t) => {
  const path = `/api/v1/namespaces/${namespace}/secrets`;
  const informer = k8s.makeInformer(kc, path, () => core.listNamespacedSecret({ namespace }));
  t.after(() => informer.stop());
  const events = [];
  for (const verb of ['add', 'update', 'delete']) {
    informer.on(verb, (object) => object.metadata.name === 'watched' && events.push(verb));
  }
  await informer.start();
  await core.createNamespacedSecret({ namespace, body: { metadata: { name: 'watched' }, stringData: { a: '1' } } });
  const cached = await eventually(() => informer.get('watched', namespace), 'the secret is cached');
  assert.equal(Buffer.from(cached.data.a, 'base64').toString(), '1');
  await core.patchNamespacedSecret(
    { name: 'watched', namespace, body: { metadata: { labels: { a: 'b' } } } },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
  );
  await eventually(() => events.includes('update'), 'the update is seen');
  await core.deleteNamespacedSecret({ name: 'watched', namespace });
  await eventually(() => events.includes('delete'), 'the deletion is seen');
});

test('custom objects of a definition made a moment ago', async () => {
  const extensions = kc.makeApiClient(k8s.ApiextensionsV1Api);
  const custom = kc.makeApiClient(k8s.CustomObjectsApi);
  const group = `${namespace}.example.org`;
  const names = { plural: 'parcels', singular: 'parcel', kind: 'Parcel' };
  const name = `parcels.${group}`;
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      properties: { spec: { type: 'object', properties: { weight: { type: 'integer', minimum: 1 } } } },
    },
  };
  await extensions.createCustomResourceDefinition({
    body: {
      metadata: { name },
      spec: { group, names, scope: 'Namespaced', versions: [{ name: 'v1', served: true, storage: true, schema }] },
    },
  });
  after(() => extensions.deleteCustomResourceDefinition({ name }));
  const place = { group, version: 'v1', namespace, plural: 'parcels' };
  const parcel = (weight) => ({ apiVersion: `${group}/v1`, kind: 'Parcel', metadata: { name: 'first' }, spec: { weight } });
  await eventually(() => custom.listNamespacedCustomObject(place).then(() => true, () => false), 'the kind is served');
  await custom.createNamespacedCustomObject({ ...place, body: parcel(3) });
  const read = await custom.getNamespacedCustomObject({ ...place, name: 'first' });
  assert.equal(read.spec.weight, 3);
  await assert.rejects(
    custom.replaceNamespacedCustomObject({ ...place, name: 'first', body: { ...read, spec: { weight: 0 } } }),
    (error) => error.code === 422,
  );
});

test('discovery, version and access reviews', async () => {
  const version = await kc.makeApiClient(k8s.VersionApi).getCode();
  assert.equal(version.minor, '32');
  const groups = await kc.makeApiClient(k8s.ApisApi).getAPIVersions();
  assert.ok(groups.groups.some((group) => group.name === 'apps'));
  const review = await kc.makeApiClient(k8s.AuthorizationV1Api).createSelfSubjectAccessReview({
    body: { spec: { resourceAttributes: { verb: 'create', resource: 'pods', namespace } } },
  });
  assert.equal(review.status.allowed, true);
});
