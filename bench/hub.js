// How fast a file of a Hub on this machine comes into the cache, in the same rounds as plain curl of it, and what that takes of the
// processor. The Hub runs in a process of its own; both write to the same disk, and only branchmerge hashes and syncs.
//   node bench/hub.js [--size 2048 (MiB)] [--rounds 3] [--directory DIR]
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { MIB, median } from './measure.js'
import { runProcess } from './runProcess.js'

const own = fileURLToPath(import.meta.url)
const commit = 'c'.repeat(40)
const config = '{}'
const configId = createHash('sha1').update(`blob ${config.length}\0${config}`).digest('hex')

const { values, positionals } = parseArgs({
  options: {
    size: { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '3' },
    directory: { type: 'string' },
  },
  allowPositionals: true,
})
const [role, ...rest] = positionals
if (role === 'serve') serve(rest[0] ?? '', rest[1] ?? '')
else if (role === 'fetch') await fetchModel()
else await compare(Number(values.size) * MIB, Number(values.rounds), values.directory)

/**
 * The Hub as far as a download asks it, with one model of one file.
 * @param {string} file
 * @param {string} sha256
 */
function serve(file, sha256) {
  const { size } = statSync(file)
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    /** @param {unknown} value */
    const json = (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value))
    if (path.includes('/revision/')) json({ _id: '1', id: 'org/bench', sha: commit, private: false, gated: false })
    else if (path.includes('/tree/')) {
      json([
        { type: 'file', path: 'config.json', size: config.length, oid: configId },
        {
          type: 'file',
          path: 'model.safetensors',
          size,
          oid: 'd'.repeat(40),
          lfs: { oid: sha256, size, pointerSize: 135 },
        },
      ])
    } else if (path.endsWith('/config.json')) {
      const last = config.length - 1
      response
        .writeHead(206, { etag: `"${configId}"`, 'content-range': `bytes 0-${last}/${config.length}` })
        .end(config)
    } else if (path.includes('/resolve/')) {
      const headers = { 'x-linked-etag': `"${sha256}"`, 'x-linked-size': size, 'x-repo-commit': commit }
      response.writeHead(302, { ...headers, location: '/store' }).end()
    } else {
      const [, from = '0', to = String(size - 1)] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
      const [start, end] = [Number(from), Number(to)]
      response.writeHead(request.headers.range ? 206 : 200, {
        'content-length': end + 1 - start,
        ...(request.headers.range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
      })
      createReadStream(file, { start, end, highWaterMark: MIB }).pipe(response)
    }
  })
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    process.stdout.write(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}\n`)
  })
}

/** In the cache of the environment. Prints seconds and seconds of the processor, of all threads. */
async function fetchModel() {
  const { Hub } = await import('../dist/hub/hub.js')
  const hub = new Hub()
  const [before, started] = [process.cpuUsage(), performance.now()]
  await hub.fetch(await hub.pin('org/bench', 'model'), 'model')
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(before)
  await hub.close()
  process.stdout.write(JSON.stringify({ seconds, processor: (user + system) / 1e6 }))
}

/**
 * @param {number} bytes
 * @param {number} rounds
 * @param {string | undefined} place
 */
async function compare(bytes, rounds, place = tmpdir()) {
  const directory = mkdtempSync(join(place, 'branchmerge-bench-'))
  const file = join(directory, 'file')
  const sha256 = await writeFile(file, bytes)
  const server = spawn(process.execPath, [own, 'serve', file, sha256], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const endpoint = await /** @type {Promise<string>} */ (
      new Promise((resolve, reject) => {
        server.stdout.once('data', (text) => resolve(String(text).trim()))
        server.once('exit', (code) => reject(new Error(`The server ended with ${code}`)))
      })
    )
    /** @type {{ curl: Figures, branchmerge: Figures }[]} */
    const found = []
    for (let round = 0; round < rounds; round++) {
      const cache = join(directory, 'cache')
      // Each is the first in every other round.
      const [first, second] = round % 2 === 0 ? [curl, branchmerge] : [branchmerge, curl]
      const figures = [await first(endpoint, directory), await second(endpoint, directory)]
      rmSync(cache, { recursive: true, force: true })
      const [a, b] = /** @type {[Figures, Figures]} */ (figures)
      found.push(round % 2 === 0 ? { curl: a, branchmerge: b } : { curl: b, branchmerge: a })
    }
    report(found, bytes)
  } finally {
    server.kill()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** @typedef {{ seconds: number, processor: number }} Figures */

/**
 * @param {string} endpoint
 * @param {string} directory
 * @returns {Promise<Figures>}
 */
async function curl(endpoint, directory) {
  const out = join(directory, 'curl')
  const script = 'LC_ALL=C TIMEFORMAT="%R %U %S"; { time curl --silent --show-error --fail --output "$1" "$2"; } 2>&1'
  const { stdout } = await runProcess('bash', ['-c', script, 'bash', out, `${endpoint}/store`])
  rmSync(out)
  const [seconds = 0, user = 0, system = 0] = stdout.trim().split(' ').map(Number)
  return { seconds, processor: user + system }
}

/**
 * @param {string} endpoint
 * @param {string} directory
 * @returns {Promise<Figures>}
 */
async function branchmerge(endpoint, directory) {
  const environment = [
    `HF_ENDPOINT=${endpoint}`,
    `HF_HUB_CACHE=${join(directory, 'cache')}`,
    `HF_HOME=${directory}`,
    'HF_TOKEN=',
  ]
  const { stdout } = await runProcess('env', [...environment, process.execPath, own, 'fetch'])
  return JSON.parse(stdout)
}

/**
 * @param {string} path
 * @param {number} bytes
 */
async function writeFile(path, bytes) {
  const hash = createHash('sha256')
  const handle = await open(path, 'wx')
  for (let at = 0; at < bytes; at += MIB) {
    const part = Buffer.alloc(Math.min(MIB, bytes - at), at / MIB)
    hash.update(part)
    await handle.write(part)
  }
  await handle.close()
  return hash.digest('hex')
}

/**
 * @param {{ curl: Figures, branchmerge: Figures }[]} rounds
 * @param {number} bytes
 */
function report(rounds, bytes) {
  const gigabytes = bytes / 1e9
  for (const name of /** @type {const} */ (['curl', 'branchmerge'])) {
    const rate = median(rounds.map((round) => gigabytes / round[name].seconds))
    const processor = median(rounds.map((round) => round[name].processor / gigabytes))
    console.log(`${name.padEnd(12)} ${rate.toFixed(2)} GB/s  ${processor.toFixed(2)} s of the processor for a GB`)
  }
  const ratios = rounds.map((round) => round.curl.seconds / round.branchmerge.seconds)
  console.log(
    `rate by curl's, by round: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}; median ${median(ratios).toFixed(2)}`,
  )
}
