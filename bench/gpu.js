#!/usr/bin/env node
/**
 * The command on a machine with a GPU: fuses left.safetensors and right.safetensors of a directory, in the page cache, on the
 * CPU, on the device and where `auto` chooses. Prints objects of JSON, one a line; bench/gpu.sh runs it.
 *
 *   node bench/gpu.js DIRECTORY cuda:0
 */
import { createHash } from 'node:crypto'
import { createReadStream, rmSync } from 'node:fs'
import { join } from 'node:path'
import { measureCommand, median } from './measure.js'

const ROUNDS = 2

/** Of all bytes; reading them leaves a file in the page cache. @param {string} path */
async function hashFile(path) {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 22 })) hash.update(chunk)
  return hash.digest('hex')
}

async function main() {
  const [directory, device] = process.argv.slice(2)
  if (directory === undefined || device === undefined) throw new Error('Usage: node bench/gpu.js DIRECTORY DEVICE')
  const sides = ['left', 'right'].map((side) => join(directory, `${side}.safetensors`))
  for (const side of sides) await hashFile(side)
  const output = join(directory, 'fused')
  let expected
  for (const on of ['cpu', device, 'auto']) {
    const seconds = []
    let summary
    for (let round = 0; round < ROUNDS; round++) {
      const run = await measureCommand(['fuse', ...sides, '--device', on], output)
      seconds.push(run.seconds)
      summary = run.summary
    }
    const hash = await hashFile(join(output, 'model.safetensors'))
    expected ??= hash
    rmSync(output, { recursive: true })
    const { device: used, deviceReason, warnings } = summary
    const result = { asked: on, used, deviceReason, warnings, seconds: median(seconds), same: hash === expected }
    console.log(JSON.stringify({ part: 'command', ...result }))
    console.error(`fuse --device ${on}: ${result.seconds.toFixed(2)} s on ${used} (${deviceReason})`)
    if (!result.same) throw new Error(`fuse --device ${on} gives other bytes than the CPU`)
  }
}

await main()
