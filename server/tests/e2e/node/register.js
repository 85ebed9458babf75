'use strict';
// Forms a cluster's record with the npm package etcd3 and says each step: register.js ENDPOINT TOKEN
const { once } = require('node:events');
const { Etcd3 } = require('etcd3');

async function main(endpoint, token) {
  const client = new Etcd3({ hosts: endpoint });
  const size = `/_etcd/registry/${token}/_config/size`;
  const members = `/_etcd/registry/${token}/members/`;

  for (const value of ['3', '5']) {
    const made = await client.if(size, 'Create', '==', 0).then(client.put(size).value(value)).commit();
    console.log(`made with ${value}: ${made.succeeded}`);
  }
  console.log(`size: ${await client.get(size).string()}`);

  const watcher = await client.watch().prefix(members).create();
  const own = once(watcher, 'put');
  await client.put(`${members}5e3c`).value('infra0=http://10.0.0.1:2380');
  tell('watched', await own);

  const another = once(watcher, 'put');
  console.log('waits for another');
  tell('watched', await another);
  console.log(`all: ${JSON.stringify(await client.getAll().prefix(members).strings())}`);

  const gone = once(watcher, 'delete');
  const { deleted } = await client.delete().key(`${members}5e3c`);
  console.log(`deleted: ${deleted}`);
  const [{ key }] = await gone;
  console.log(`watched: ${key} is gone`);
  await watcher.cancel();

  await client.put(size).value('abc').catch(({ message }) => console.log(`refused: ${message}`));
  client.close();
}

function tell(what, [{ key, value }]) {
  console.log(`${what}: ${key} = ${value}`);
}

main(...process.argv.slice(2));
