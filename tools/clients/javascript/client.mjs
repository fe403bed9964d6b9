// The JavaScript client: informer, exec, log, port-forward, every kind of patch, apply, watch, custom objects.
import * as k8s from '@kubernetes/client-node';
import assert from 'node:assert/strict';
import stream from 'node:stream';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const definitions = config.makeApiClient(k8s.ApiextensionsV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = 'javascript';

async function until(what, look) {
  const deadline = Date.now() + 60_000;
  for (let last; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await look().catch((error) => { last = error; });
    if (found) return found;
    assert(Date.now() < deadline, `not within a minute: ${what}; ${last}`);
  }
}

const container = (image, command) => ({ name: 'c', image, command, imagePullPolicy: 'Never' });
const spec = (...containers) => ({ terminationGracePeriodSeconds: 0, containers });
const pod = (name, ...containers) => ({ metadata: { name }, spec: spec(...containers) });

async function exec(words, { input = null, tty = false } = {}) {
  let output = '';
  const sink = new stream.Writable({ write(piece, _, done) { output += piece; done(); } });
  const nothing = new stream.Writable({ write(_piece, _, done) { done(); } });
  const status = await new Promise((resolve, reject) => {
    new k8s.Exec(config).exec(namespace, 'p', 'c', words, sink, nothing, input, tty, resolve).catch(reject);
  });
  return { output, status };
}

await core.createNamespace({ body: { metadata: { name: namespace } } });
await until('the default account', () => core.readNamespacedServiceAccount({ name: 'default', namespace }));

// An informer sees a pod come, run and go.
const seen = [];
const list = () => core.listNamespacedPod({ namespace });
const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
for (const kind of ['add', 'update', 'delete']) {
  informer.on(kind, (object) => seen.push(`${kind} ${object.metadata.name} ${object.status?.phase}`));
}
informer.on('error', (error) => { if (error.type !== 'aborted') seen.push(`error ${error}`); });
await informer.start();
const sleeper = container('busybox', ['sh', '-c', 'echo hello; sleep 100000']);
await core.createNamespacedPod({ namespace, body: pod('p', sleeper) });
await core.createNamespacedPod({ namespace, body: pod('web', container('nginx:1.27')) });
await until('the pod runs', async () => seen.includes('update p Running'));
assert(seen.some((line) => line.startsWith('add p')));

const failed = await exec(['sh', '-c', 'echo out; exit 3']);
assert.equal(failed.output, 'out\n');
assert.equal(failed.status.details.causes[0].message, '3');
const terminal = await exec(['tty'], { tty: true });
assert.match(terminal.output, /^\/dev\/pts/);
assert.equal(terminal.status.status, 'Success');

let log = '';
const lines = new stream.PassThrough().on('data', (piece) => { log += piece; });
await new k8s.Log(config).log(namespace, 'p', 'c', lines, { follow: true });
await until('the log', async () => log === 'hello\n');

await until('the server runs', async () =>
  (await core.readNamespacedPod({ name: 'web', namespace })).status.phase === 'Running');
let answer = '';
const [toPod, fromPod] = [new stream.PassThrough(), new stream.PassThrough()];
fromPod.on('data', (piece) => { answer += piece; });
await new k8s.PortForward(config).portForward(namespace, 'web', [80], fromPod, null, toPod);
toPod.write('GET / HTTP/1.0\r\n\r\n');
await until('an answer through the forwarded port', async () => answer.includes('200 OK'));

const patch = async (type, body) => {
  const options = k8s.setHeaderOptions('Content-Type', type);
  return (await core.patchNamespacedPod({ name: 'p', namespace, body }, options)).metadata.labels;
};
const added = [{ op: 'add', path: '/metadata/labels', value: { x: '1' } }];
assert.deepEqual(await patch('application/json-patch+json', added), { x: '1' });
const merged = { metadata: { labels: { x: null, y: '2' } } };
assert.deepEqual(await patch('application/merge-patch+json', merged), { y: '2' });
const strategic = { metadata: { labels: { z: '3' } } };
assert.deepEqual(await patch('application/strategic-merge-patch+json', strategic), { y: '2', z: '3' });

const labels = { app: 'd' };
const deployment = {
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', namespace },
  spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: spec(sleeper) } },
};
const apply = k8s.PatchStrategy.ServerSideApply;
const applied = await objects.patch(deployment, undefined, undefined, 'javascript', true, apply);
assert(applied.metadata.managedFields.some((entry) => entry.manager === 'javascript' && entry.operation === 'Apply'));
await until('the Deployment rolls out', async () =>
  (await apps.readNamespacedDeploymentStatus({ name: 'd', namespace })).status.readyReplicas === 1);

const events = [];
let ended = false;
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const ask = { allowWatchBookmarks: true, timeoutSeconds: 3 };
await new k8s.Watch(config).watch(path, ask, (type, object) => events.push(`${type} ${object.kind}`), () => { ended = true; });
await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'm' } } });
await until('the watch times out', async () => ended);
assert(events.includes('ADDED ConfigMap'), events);

const schema = { type: 'object', properties: { spec: { type: 'object', properties: { n: { type: 'integer' } } } } };
const version = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } };
const name = 'widgets.js.example.com';
await definitions.createCustomResourceDefinition({ body: { metadata: { name }, spec: {
  group: 'js.example.com', scope: 'Namespaced', versions: [version], names: { plural: 'widgets', kind: 'Widget' } } } });
const widgets = { group: 'js.example.com', version: 'v1', namespace, plural: 'widgets' };
const widget = (name, n) => ({ apiVersion: 'js.example.com/v1', kind: 'Widget', metadata: { name }, spec: { n } });
await until('a custom object', () => custom.createNamespacedCustomObject({ ...widgets, body: widget('w', 1) }));
assert.equal((await custom.listNamespacedCustomObject(widgets)).items.length, 1);
const wrong = await custom.createNamespacedCustomObject({ ...widgets, body: widget('v', 'x') }).catch((error) => error);
assert.equal(wrong.code, 422);
await definitions.deleteCustomResourceDefinition({ name });

await core.deleteNamespacedPod({ name: 'p', namespace });
await until('the informer sees it go', async () => seen.some((line) => line.startsWith('delete p')));
await informer.stop();
await core.deleteNamespace({ name: namespace });
await until('the namespace goes', () =>
  core.readNamespace({ name: namespace }).then(() => false, (error) => error.code === 404));
assert.deepEqual(seen.filter((line) => line.startsWith('error')), []);
process.exit(0);
