import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { isMapping } from '../validate.js'
import { readSmallFile } from './readSmallFile.js'

/** Vocabularies of 256k tokens have 33 MB. */
const maxBytes = 256 * 2 ** 20

/** The texts that a tokenizer is made of. */
export interface TokenizerFiles {
  /** As messages name it. */
  directory: string
  tokenizer: string
  config: string
  /** chat_template.jinja, or chat_template of tokenizer_config.json. */
  chatTemplate: string | undefined
}

/** @throws ERR_FILE_READ, ERR_TOKENIZER */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const tokenizer = await readText(join(directory, 'tokenizer.json'))
  if (tokenizer === undefined) {
    throw new BranchMergeError(
      'ERR_TOKENIZER',
      `Expected tokenizer.json in ${directory} but there is none. ` +
        'Pass a directory that has one as tokenizer; a model on a hub must be downloaded first.',
    )
  }
  const config = (await readText(join(directory, 'tokenizer_config.json'))) ?? '{}'
  const template = await readText(join(directory, 'chat_template.jinja'))
  const own = templateOf(parseTokenizerJson(config, join(directory, 'tokenizer_config.json')).chat_template)
  return { directory, tokenizer, config, chatTemplate: template ?? own }
}

async function readText(path: string): Promise<string | undefined> {
  const bytes = await readSmallFile(path, maxBytes, 'ERR_TOKENIZER')
  if (!bytes) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new BranchMergeError('ERR_TOKENIZER', `Expected UTF-8 text in ${path}`, { cause })
  }
}

/** A file of a tokenizer as a JSON object. @throws ERR_TOKENIZER */
export function parseTokenizerJson(text: string, path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new BranchMergeError('ERR_TOKENIZER', `Expected JSON in ${path}: ${(cause as Error).message}`, { cause })
  }
  if (isMapping(value)) return value
  throw new BranchMergeError('ERR_TOKENIZER', `Expected a JSON object in ${path}`)
}

/** A text, or a list of named ones of which `default` counts. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const named: unknown[] = Array.isArray(value) ? value : []
  const entry = named.find((candidate) => isMapping(candidate) && candidate.name === 'default')
  return isMapping(entry) && typeof entry.template === 'string' ? entry.template : undefined
}
