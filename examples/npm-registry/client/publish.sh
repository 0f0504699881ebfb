#!/bin/sh
# Make a user in the registry that is linked as `registry`, and publish the package of this folder there.
set -eu
cp -r "$(dirname "$0")/greeting" /tmp/greeting
cd /tmp/greeting
node --input-type=module <<'JS'
import { writeFileSync } from "node:fs";

const registry = "http://registry:4873";
const body = JSON.stringify({ name: "team", password: "a secret of the team", type: "user" });
const headers = { "content-type": "application/json" };
for (let tries = 0; ; tries++) {
  try {
    const made = await fetch(`${registry}/-/user/org.couchdb.user:team`, { method: "PUT", headers, body });
    const { token } = await made.json();
    writeFileSync(".npmrc", `registry=${registry}\n//registry:4873/:_authToken=${token}\n`);
    break;
  } catch (error) {
    if (tries === 100) throw error;
    await new Promise((done) => setTimeout(done, 200));
  }
}
JS
npm publish --no-fund
