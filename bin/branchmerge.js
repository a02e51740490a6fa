#!/usr/bin/env node
import { existsSync } from 'node:fs'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const main = new URL('../dist/cli/main.js', import.meta.url)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`branchmerge: Expected Node 20.19 or newer but this is ${process.versions.node}\n`)
  process.exitCode = 1
} else if (!existsSync(main)) {
  process.stderr.write('branchmerge: It is not built: run npm ci and npm run build in its directory\n')
  process.exitCode = 1
} else {
  process.exitCode = await (await import(main.href)).main(process.argv.slice(2))
}
