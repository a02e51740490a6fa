import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PackWriter } from '../../lib/data/packWriter.js'
import { Random } from '../support/random.js'
import { temporaryDirectory } from '../support/temporary.js'
import { readPrepared } from './readPrepared.js'

test.each(['none', 'pack', 'neat'] as const)('documents come back from several shards, packing %s', async (packing) => {
  const random = new Random(1)
  const directory = temporaryDirectory()
  const writer = new PackWriter(directory, { packing, packingBatch: 10, cutoffLength: 40 }, 200)
  const documents = Array.from({ length: 137 }, (_, row) => {
    const tokens = Uint32Array.from({ length: 2 + random.below(38) }, () => random.bits())
    const middle = 1 + random.below(tokens.length - 1)
    const spans = middle > 2 && random.below(2) === 0 ? [1, middle - 1, middle, tokens.length] : [middle, tokens.length]
    return { tokens, spans, source: random.below(3), row: row + 2 ** 33 }
  })
  for (const document of documents) await writer.add(document)
  const { shardSizes, lengths, ...totals } = await writer.end()
  expect(totals.shards).toBeGreaterThan(10)
  expect(shardSizes).toHaveLength(totals.shards)
  expect(lengths.length).toBe(6)
  writeFileSync(join(directory, 'meta.json'), JSON.stringify({ ...totals, packLength: 40 }))
  const stored = readPrepared(directory)
  stored.documents.sort((a, b) => a.row - b.row)
  expect(stored.documents).toEqual(
    documents.map(({ tokens, spans, source, row }) => {
      const pairs = spans.flatMap((begin, i) => (i % 2 === 0 ? [[begin, spans[i + 1]]] : []))
      return { tokens: [...tokens], spans: pairs, source, row }
    }),
  )
})

test('nothing is written where there is nothing', async () => {
  const writer = new PackWriter(temporaryDirectory(), { packing: 'neat', packingBatch: 10, cutoffLength: 40 })
  expect(await writer.end()).toMatchObject({ shards: 0, packs: 0, documents: 0, tokens: 0 })
})
