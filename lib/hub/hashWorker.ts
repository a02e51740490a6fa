/** Hashes files in a thread while they are downloaded: as far as their bytes are there, from the start. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import type { HashRequest, HashResult } from './fileHashes.js'

interface Open {
  descriptor: number
  hash: Hash
  at: number
}

const files = new Map<number, Open>()
const buffer = Buffer.alloc(4 * 2 ** 20)
const tellBytes = 64 * 2 ** 20

function open({ path, kind, bytes }: HashRequest): Open {
  const hash = createHash(kind === 'git' ? 'sha1' : 'sha256')
  // As Git names its objects.
  if (kind === 'git') hash.update(`blob ${bytes}\0`)
  return { descriptor: openSync(path, 'r'), hash, at: 0 }
}

function close(id: number): void {
  const file = files.get(id)
  if (file) closeSync(file.descriptor)
  files.delete(id)
}

function advance(request: HashRequest): HashResult | undefined {
  const { id, bytes, until, drop } = request
  if (drop) {
    close(id)
    return undefined
  }
  const file = files.get(id) ?? open(request)
  files.set(id, file)
  while (file.at < until) {
    const count = readSync(file.descriptor, buffer, 0, Math.min(buffer.length, until - file.at), file.at)
    if (count === 0) throw new Error('the file was cut short')
    file.hash.update(buffer.subarray(0, count))
    file.at += count
    if (file.at % tellBytes === 0) parentPort?.postMessage({ id, at: file.at } satisfies HashResult)
  }
  if (until < bytes) return undefined
  const digest = file.hash.digest('hex')
  close(id)
  return { id, digest }
}

parentPort?.on('message', (request: HashRequest) => {
  try {
    const result = advance(request)
    if (result) parentPort?.postMessage(result)
  } catch (error) {
    close(request.id)
    parentPort?.postMessage({ id: request.id, error: (error as Error).message } satisfies HashResult)
  }
})
