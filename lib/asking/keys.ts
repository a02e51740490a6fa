import { createHash } from 'node:crypto'
import type { Prompt } from '../engines/generation.js'
import { canonicalJson } from '../text/canonicalJson.js'

/** SHA-256 of a value's canonical JSON, in hexadecimal digits. */
export const digest = (value: unknown): string => createHash('sha256').update(canonicalJson(value)).digest('hex')

/** Of the prompts of many questions. */
export function promptsDigest(prompts: Iterable<{ question: string; prompt: Prompt }>): string {
  const hash = createHash('sha256')
  for (const each of prompts) hash.update(`${canonicalJson(each)}\n`)
  return hash.digest('hex')
}

/** The seed of a request: an unsigned 32-bit number that all of this determines. */
export const seedOf = (parts: Readonly<Record<string, string | number>>): number =>
  Number.parseInt(digest({ v: 1, ...parts }).slice(0, 8), 16)
