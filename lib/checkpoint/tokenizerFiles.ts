import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { readFailure, readSmallFile } from '../files/readSmallFile.js'
import { isMapping } from '../validate.js'

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
  /** Further templates by name, of additional_chat_templates and the list in tokenizer_config.json. */
  namedTemplates: ReadonlyMap<string, string>
}

/** @throws ERR_FILE_READ, ERR_TOKENIZER */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const tokenizer = await readText(join(directory, 'tokenizer.json'))
  if (tokenizer === undefined) {
    throw new BranchMergeError(
      'ERR_TOKENIZER',
      `Expected tokenizer.json in ${directory} but there is none. ` +
        'Pass a directory or the name of a model that has one as tokenizer.',
    )
  }
  const config = (await readText(join(directory, 'tokenizer_config.json'))) ?? '{}'
  const template = await readText(join(directory, 'chat_template.jinja'))
  const inFiles = {
    ...(await additionalTemplates(directory)),
    ...(template === undefined ? {} : { default: template }),
  }
  const listed = templatesOf(parseTokenizerJson(config, join(directory, 'tokenizer_config.json')).chat_template)
  // Where there are files, Transformers looks at no others.
  const { default: chatTemplate, ...named } = Object.keys(inFiles).length > 0 ? inFiles : listed
  return { directory, tokenizer, config, chatTemplate, namedTemplates: new Map(Object.entries(named)) }
}

/** As Transformers lays them out: a file for each name. */
async function additionalTemplates(directory: string): Promise<Record<string, string>> {
  const folder = 'additional_chat_templates'
  const files = await readdir(join(directory, folder)).catch((cause): string[] => {
    if (cause.code === 'ENOENT') return []
    throw readFailure(join(directory, folder), cause)
  })
  const templates: Record<string, string> = {}
  for (const file of files.filter((name) => name.endsWith('.jinja')).sort()) {
    templates[basename(file, '.jinja')] = (await readText(join(directory, folder, file))) ?? ''
  }
  return templates
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

/** A text, which is the default, or a list of named ones. */
function templatesOf(value: unknown): Record<string, string> {
  if (typeof value === 'string') return { default: value }
  const entries = (Array.isArray(value) ? value : []).flatMap((entry: unknown) =>
    isMapping(entry) && typeof entry.name === 'string' && typeof entry.template === 'string'
      ? [[entry.name, entry.template] as const]
      : [],
  )
  return Object.fromEntries(entries)
}
