import { resolve } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { checkOptions } from '../../options/checkOption.js'
import { allOptions } from '../../options/option.js'
import { checkObject, checkOptionNames, checkPath, invalidArgument, isMapping } from '../../validate.js'
import { engineGroups } from './engineKeys.js'
import type { EmbeddedSpec, ServedSpec, ServerSpec } from './engineOptions.js'

/** What an engine is made of. */
export type EngineSpec = EmbeddedSpec | ServerSpec | ServedSpec

export const isServerSpec = (spec: EngineSpec): spec is ServerSpec => 'urls' in spec && spec.urls !== undefined
export const isServedSpec = (spec: EngineSpec): spec is ServedSpec => 'serve' in spec && spec.serve !== undefined

/**
 * The engine that a word of the command line names: a directory; `http://host:8000/v1#served-name`; or several such URLs separated by
 * commas, of which the last name counts for all that have none.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function parseEngineSpec(text: string): EmbeddedSpec | ServerSpec {
  if (!/^https?:\/\//i.test(text)) return { path: checkPath(text, 'a model') }
  const parts = text.split(/,(?=https?:\/\/)/i)
  const models = new Set<string>()
  const urls = parts.map((part) => {
    const hash = part.indexOf('#')
    if (hash < 0) return part
    const name = decodeName(part.slice(hash + 1))
    if (name === '') throw invalidArgument('the name of a model behind #', 'a model', text)
    models.add(name)
    return part.slice(0, hash)
  })
  if (models.size > 1)
    throw invalidArgument(`one name for all URLs, not ${[...models].join(' and ')},`, 'a model', text)
  const [model] = models
  return checkEngineSpec({ urls, ...(model !== undefined && { model }) }) as ServerSpec
}

function decodeName(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * An engine as a user describes it, checked: names, types and ranges.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function checkEngineSpec(value: unknown): EngineSpec {
  checkObject(value, 'a model')
  const spec = value as Record<string, unknown>
  const kinds = (['urls', 'path'] as const).filter((name) => spec[name] !== undefined)
  if (kinds.length !== 1) throw invalidArgument('either path or urls', 'a model', value)
  const kind = kinds[0] === 'urls' ? 'server' : spec.serve === undefined ? 'embedded' : 'served'
  const options = allOptions(engineGroups[kind])
  checkOptionNames(spec, Object.keys(options))
  // What these refuse may be secret, so they come first.
  if (kind === 'server') checkSecrets(spec)
  checkOptions(options, spec)
  if (kind === 'served') checkCommand(spec.serve as string)
  return spec as unknown as EngineSpec
}

function checkSecrets({ urls, headers, apiKey, apiKeyVariable }: Record<string, unknown>): void {
  if (!Array.isArray(urls) || urls.length === 0) throw invalidArgument('one URL or more', 'urls', urls)
  for (const url of urls) checkUrl(url)
  if (apiKey !== undefined && apiKeyVariable !== undefined) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected apiKey or apiKeyVariable but received both')
  }
  // The value must stand in no message.
  if (apiKey !== undefined && !isHeaderText(apiKey)) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected a text of visible characters for apiKey')
  }
  if (headers === undefined) return
  const isGood =
    isMapping(headers) &&
    Object.entries(headers).every(([name, text]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && isHeaderText(text))
  if (!isGood) throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected an object of names and texts for headers')
}

function checkCommand(serve: string): void {
  for (const place of ['{model}', '{port}']) {
    if (!serve.includes(place)) throw invalidArgument(`a command line with ${place}`, 'serve', serve)
  }
}

const isHeaderText = (value: unknown): value is string => typeof value === 'string' && /^[\t\x20-\x7e]+$/.test(value)

function checkUrl(value: unknown): void {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (url && (url.protocol === 'http:' || url.protocol === 'https:') && url.hash === '') return
  // Credentials in it must stand in no message.
  const shown = typeof value === 'string' ? value.replace(/\/\/[^/@]*@/, '//…@') : value
  throw invalidArgument('a URL such as http://localhost:8000/v1', 'urls', shown)
}

/** The spec with its paths as they are from anywhere. */
export function withAbsolutePaths<T extends EngineSpec>(spec: T): T {
  const paths = Object.entries(spec).map(([name, value]) => {
    const isPath = ['path', 'cache', 'tokenizer', 'log'].includes(name) && typeof value === 'string'
    return [name, isPath ? resolve(value) : value]
  })
  return Object.fromEntries(paths) as T
}
