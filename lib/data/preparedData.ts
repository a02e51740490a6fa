import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readSmallFile } from '../files/readSmallFile.js'
import type { PackedTotals } from './packWriter.js'
import { shardName } from './shard.js'
import type { SourceSummary } from './sourceSummary.js'

/** Of meta.json, of the shards and of what the key is made of. */
export const dataFormat = 1

/** Packs of one purpose in a directory of their own: meta.json and shards. */
export interface PreparedSet extends Omit<PackedTotals, 'shardSizes'> {
  directory: string
  /** Tokens per place in the packs, which would be `packs × cutoffLength`. 1 for packing none. */
  efficiency: number
}

/** Data as the trainer reads it, in the cache, and what became of every row. */
export interface PreparedData {
  /** SHA-256 of everything that determines the data, 64 hexadecimal digits. */
  key: string
  /** `<cache>/<key>`. */
  directory: string
  /** It was there already. */
  cached: boolean
  train: PreparedSet
  validation: PreparedSet | undefined
  sources: SourceSummary[]
  packing: string
  cutoffLength: number
  vocabularySize: number
  /** Directory of the tokenizer, the name of the template and the SHA-256 of both. */
  tokenizer: { directory: string; sha256: string }
  template: { name: string; sha256: string }
  /** What the model is given before it answers, behind the text of the user. */
  generationPrompt: string
  endToken: { text: string; id: number }
  /** What is odd but allowed, in words. */
  notices: string[]
}

export const summaryName = 'summary.json'

/** Summaries have a few kilobytes for each source. */
const maxSummaryBytes = 64 * 2 ** 20

/** Prepared data of a key, or undefined where it is not there whole. */
export async function findPrepared(directory: string): Promise<PreparedData | undefined> {
  const bytes = await readSmallFile(join(directory, summaryName), maxSummaryBytes, 'ERR_DATA')
  if (!bytes) return undefined
  const found = parse(bytes.toString('utf8'))
  if (!found) return undefined
  const sets = found.validation ? ['train', 'validation'] : ['train']
  for (const set of sets) if (!(await isWhole(join(directory, set)))) return undefined
  const placed = (set: PreparedSet, name: string) => ({ ...set, directory: join(directory, name) })
  return {
    ...found,
    directory,
    cached: true,
    train: placed(found.train, 'train'),
    validation: found.validation && placed(found.validation, 'validation'),
  }
}

function parse(text: string): PreparedData | undefined {
  try {
    const value = JSON.parse(text)
    return value.validation === undefined || value.validation === null ? { ...value, validation: undefined } : value
  } catch {
    return undefined // cut short by something else than us: it is made again
  }
}

/** Whether a set has the shards that its meta.json lists, with their sizes. */
async function isWhole(directory: string): Promise<boolean> {
  try {
    const { shardSizes } = JSON.parse(await readFile(join(directory, 'meta.json'), 'utf8')) as PackedTotals
    for (const [i, size] of shardSizes.entries()) {
      if ((await stat(join(directory, shardName(i)))).size !== size) return false
    }
    return true
  } catch {
    return false
  }
}
