import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseSafetensorsMetadata } from '@huggingface/hub'
import { describe, expect, test } from 'vitest'
import { type Checkpoint, openCheckpoint } from '../../lib/checkpoint/openCheckpoint.js'
import { fuse } from '../../lib/index.js'
import { badFiles } from '../corpus/badFiles.js'
import { oddFiles } from '../corpus/oddFiles.js'
import { fetchFrom } from '../support/localHub.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

interface HeaderEntry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}

/** npm `safetensors` comes without types; its offsets count from the start of the file. */
const { SafeTensor } = createRequire(import.meta.url)('safetensors') as {
  SafeTensor: new (bytes: Uint8Array) => { metadata: Map<string, HeaderEntry> }
}

const goldenDirectory = fileURLToPath(new URL('../golden', import.meta.url))

/** Of each tensor: dtype, shape, and where its bytes are in the file. */
type Layout = Map<string, { dtype: string; shape: number[]; begin: number; end: number }>

function ours({ tensors, files }: Checkpoint, fileName: string): Layout {
  return new Map(
    tensors
      .filter(({ file }) => files[file]?.name === fileName)
      .map(({ name, dtype, shape, begin, end }) => [name, { dtype, shape, begin, end }]),
  )
}

async function asTheHubReads(path: string): Promise<Layout> {
  const parsed = await parseSafetensorsMetadata({
    repo: 'local/model',
    path: basename(path),
    fetch: fetchFrom(dirname(path)),
  })
  if (parsed.sharded) throw new Error(`Expected one file at ${path}`)
  const dataBegin = 8 + Number(readFileSync(path).readBigUInt64LE())
  const entries = Object.entries(parsed.header).filter(([name]) => name !== '__metadata__') as [string, HeaderEntry][]
  return layoutOf(entries, dataBegin)
}

function layoutOf(entries: Iterable<[string, HeaderEntry]>, dataBegin: number): Layout {
  return new Map(
    Array.from(entries, ([name, { dtype, shape, data_offsets: offsets }]) => [
      name,
      { dtype, shape, begin: dataBegin + offsets[0], end: dataBegin + offsets[1] },
    ]),
  )
}

/** npm `safetensors` fails on __metadata__, and on a Buffer that is a part of a larger one. */
function asNpmReads(path: string): Layout {
  const bytes = Uint8Array.from(readFileSync(path))
  const headerEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))
  const header = Buffer.from(bytes.buffer, 8, headerEnd - 8)
  const entry = /"__metadata__":(?:null|\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}),?/.exec(header.toString('latin1'))
  if (entry) header.fill(' ', entry.index, entry.index + entry[0].length)
  return layoutOf(new SafeTensor(bytes).metadata, 0)
}

async function expectAgreement(directory: string) {
  const checkpoint = await openCheckpoint(directory)
  for (const { name, path } of checkpoint.files) {
    const layout = ours(checkpoint, name)
    expect(await asTheHubReads(path)).toEqual(layout)
    expect(asNpmReads(path)).toEqual(layout)
  }
}

describe('both oracles agree with the reader', () => {
  // The Hub's parser stops at dimensions of 2³², the format does not.
  const comparable = oddFiles.filter(({ name }) => name !== '[0, 2^40, 2^40]')

  test.each(comparable)('$name', async ({ reader, write }) => {
    const path = await write(temporaryDirectory())
    await expectAgreement(reader === 'header' ? dirname(path) : path)
  })

  test('golden files, written by another library', async () => {
    const files = readdirSync(goldenDirectory, { recursive: true, encoding: 'utf8' })
    const written = files.filter((name) => name.endsWith('.safetensors'))
    expect(written.length).toBeGreaterThan(100)
    for (const name of written) await expectAgreement(join(goldenDirectory, name))
  })

  test.each([undefined, '5KB'])('files that fusion writes, maxShardSize %s', async (maxShardSize) => {
    const { left, right } = writePair(temporaryDirectory(), { rightShards: 2 })
    const out = join(temporaryDirectory(), 'out')
    await fuse(left.path, right.path, { out, ...(maxShardSize ? { maxShardSize } : {}) })
    const fused = await openCheckpoint(out)
    expect(fused.files.length > 1).toBe(maxShardSize !== undefined)
    await expectAgreement(out)
  })
})

test('the Hub parser finds in a fused index what the reader finds', async () => {
  const { left, right } = writePair(temporaryDirectory())
  const out = join(temporaryDirectory(), 'out')
  await fuse(left.path, right.path, { out, maxShardSize: '5KB' })
  const parsed = await parseSafetensorsMetadata({ repo: 'local/model', fetch: fetchFrom(out) })
  if (!parsed.sharded) throw new Error('Expected an index')
  const { files, tensors, bytes } = await openCheckpoint(out)
  const places = Object.fromEntries(tensors.map(({ name, file }) => [name, files[file]?.name]))
  expect(parsed.index.weight_map).toEqual(places)
  expect(parsed.index.metadata).toMatchObject({ total_size: bytes })
})

// Why the oracles are no readers: each of these they take, or fail on without a name.
test('the reader is stricter than the oracles', async () => {
  const taken: string[] = []
  for (const { name, reader, write } of badFiles) {
    if (reader !== 'header' || name.includes('1e6') || name.includes('sparse')) continue
    const path = await write(temporaryDirectory())
    if (await asTheHubReads(path).then(Boolean, () => false)) taken.push(name)
  }
  expect(taken).toEqual(expect.arrayContaining(['overlap', 'hole', 'tensor twice', 'offset -0', 'name with ../']))
})
