import { resolve } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import {
  checkChoice,
  checkInteger,
  checkNumber,
  checkObject,
  checkOptionNames,
  checkPath,
  invalidArgument,
  isMapping,
} from '../../validate.js'

/** A model that is a directory, through llama.cpp in this process. */
export interface EmbeddedSpec {
  /** Directory of the checkpoint. */
  path: string
  /** Where GGUF files are kept. Default: `branchmerge` in $XDG_CACHE_HOME, or in ~/.cache. */
  cache?: string | undefined
  /** Answers at the same time. Default: 8, fewer where the memory holds fewer. */
  concurrency?: number | undefined
  /** Tokens of prompt and answer together. Default: what the model was trained with, less where the memory holds less. */
  contextLength?: number | undefined
  /** Layers on the GPU, where llama.cpp has one. Default: as many as fit. */
  gpuLayers?: number | undefined
  /** Default: all cores that this process may use, fewer for a model of a few megabytes. */
  threads?: number | undefined
}

/** What a client of servers does. */
export interface ClientOptions {
  /** Requests at the same time to each server at most. Default: 64. */
  concurrency?: number | undefined
  /** Requests in any minute at most. Default: no limit. */
  requestsPerMinute?: number | undefined
  /** Tokens of prompts and answers in any minute at most, as far as they can be foreseen. Default: no limit. */
  tokensPerMinute?: number | undefined
  /** Requests for one answer at most, while its server can be reached. Default: 8. */
  attempts?: number | undefined
  /** In seconds; 0 is none. */
  timeouts?: TimeoutSeconds | undefined
  /** `chat`: the server writes messages in its template; `completions`: this process does, and asks with a text. Default: chat. */
  api?: 'chat' | 'completions' | undefined
}

export interface TimeoutSeconds {
  /** Until a connection is made. Default: 10. */
  connect?: number | undefined
  /** Until the first byte of an answer, which may wait in a queue. Default: 0. */
  firstByte?: number | undefined
  /** Between two pieces of an answer. Default: 600. */
  idle?: number | undefined
  /** For an answer in all. Default: 7200. */
  total?: number | undefined
  /** For which a server that was there may be away, while it starts again. Default: 600. */
  down?: number | undefined
}

/** A model behind servers that speak the API of OpenAI. */
export interface ServerSpec extends ClientOptions {
  /** Base URLs, `http://host:8000/v1`; each request goes to the one with the fewest outstanding. */
  urls: readonly string[]
  /** The name under which they serve it. Default: the only one that they serve. */
  model?: string | undefined
  /** Directory with the tokenizer and chat template; needed for messages with `api: completions`. */
  tokenizer?: string | undefined
  /** Sent as a bearer token, and written nowhere. */
  apiKey?: string | undefined
  /** Environment variable that holds the key. */
  apiKeyVariable?: string | undefined
  /** Further headers. Their values are written nowhere. */
  headers?: Readonly<Record<string, string>> | undefined
}

/** A checkpoint and the command that serves it, for as long as the engine is open. */
export interface ServedSpec extends ClientOptions {
  /** Directory of the checkpoint. */
  path: string
  /** Command line with `{model}` and `{port}`: `vllm serve {model} --port {port}`. No shell reads it. */
  serve: string
  /** The name under which the command serves it. Default: the only one. */
  model?: string | undefined
  /** Seconds until it must answer. Default: 1800. */
  startTimeout?: number | undefined
  /** File that takes what the command prints. Default: one in the system's directory for temporary files. */
  log?: string | undefined
}

/** What an engine is made of. */
export type EngineSpec = EmbeddedSpec | ServerSpec | ServedSpec

export const isServerSpec = (spec: EngineSpec): spec is ServerSpec => 'urls' in spec && spec.urls !== undefined
export const isServedSpec = (spec: EngineSpec): spec is ServedSpec => 'serve' in spec && spec.serve !== undefined

const clientNames = [
  'concurrency',
  'requestsPerMinute',
  'tokensPerMinute',
  'attempts',
  'timeouts',
  'api',
  'model',
] as const
const names = {
  embedded: ['path', 'cache', 'concurrency', 'contextLength', 'gpuLayers', 'threads'],
  server: ['urls', 'tokenizer', 'apiKey', 'apiKeyVariable', 'headers', ...clientNames],
  served: ['path', 'serve', 'startTimeout', 'log', ...clientNames],
} as const satisfies {
  embedded: readonly (keyof EmbeddedSpec)[]
  server: readonly (keyof ServerSpec)[]
  served: readonly (keyof ServedSpec)[]
}
const timeoutNames = ['connect', 'firstByte', 'idle', 'total', 'down'] as const satisfies (keyof TimeoutSeconds)[]

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
  checkOptionNames(spec, names[kind])
  if (kind === 'server') checkServer(spec)
  else checkPath(spec.path, 'path')
  if (kind === 'served') checkServed(spec)
  if (kind === 'embedded') {
    if (spec.cache !== undefined) checkPath(spec.cache, 'cache')
    optional(spec.contextLength, (each) => checkInteger(each, 'contextLength', 1, 2 ** 31 - 1))
    optional(spec.gpuLayers, (each) => checkInteger(each, 'gpuLayers', 0, 1_000_000))
    optional(spec.threads, (each) => checkInteger(each, 'threads', 1, 1024))
  } else checkClient(spec)
  optional(spec.concurrency, (each) => checkInteger(each, 'concurrency', 1, 100_000))
  return spec as unknown as EngineSpec
}

function checkClient(spec: Record<string, unknown>): void {
  optional(spec.requestsPerMinute, (each) => checkInteger(each, 'requestsPerMinute', 1, 1e9))
  optional(spec.tokensPerMinute, (each) => checkInteger(each, 'tokensPerMinute', 1, 1e12))
  optional(spec.attempts, (each) => checkInteger(each, 'attempts', 1, 1000))
  optional(spec.api, (each) => checkChoice(each, 'api', ['chat', 'completions']))
  optional(spec.model, (each) => checkText(each, 'model'))
  if (spec.timeouts === undefined) return
  if (!isMapping(spec.timeouts)) throw invalidArgument('an object', 'timeouts', spec.timeouts)
  checkOptionNames(spec.timeouts, timeoutNames)
  for (const [name, seconds] of Object.entries(spec.timeouts)) {
    optional(seconds, (each) => checkNumber(each, `timeouts.${name}`, 0, 2_000_000))
  }
}

function checkServer(spec: Record<string, unknown>): void {
  const { urls, headers } = spec
  if (!Array.isArray(urls) || urls.length === 0) throw invalidArgument('one URL or more', 'urls', urls)
  for (const url of urls) checkUrl(url)
  optional(spec.tokenizer, (each) => checkPath(each, 'tokenizer'))
  optional(spec.apiKeyVariable, (each) => checkText(each, 'apiKeyVariable'))
  if (spec.apiKey !== undefined && spec.apiKeyVariable !== undefined) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected apiKey or apiKeyVariable but received both')
  }
  // The value must stand in no message.
  if (spec.apiKey !== undefined && !isHeaderText(spec.apiKey)) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected a text of visible characters for apiKey')
  }
  if (headers === undefined) return
  const isGood =
    isMapping(headers) &&
    Object.entries(headers).every(([name, text]) => /^[\w!#$%&'*+.^`|~-]+$/.test(name) && isHeaderText(text))
  if (!isGood) throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected an object of names and texts for headers')
}

function checkServed(spec: Record<string, unknown>): void {
  const serve = checkText(spec.serve, 'serve')
  for (const place of ['{model}', '{port}']) {
    if (!serve.includes(place)) throw invalidArgument(`a command line with ${place}`, 'serve', serve)
  }
  optional(spec.startTimeout, (each) => checkNumber(each, 'startTimeout', 1, 2_000_000))
  optional(spec.log, (each) => checkPath(each, 'log'))
}

const isHeaderText = (value: unknown): value is string => typeof value === 'string' && /^[\t\x20-\x7e]+$/.test(value)

function checkUrl(value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  const isGood = url && (url.protocol === 'http:' || url.protocol === 'https:') && url.hash === ''
  if (isGood) return url
  // Credentials in it must stand in no message.
  const shown = typeof value === 'string' ? value.replace(/\/\/[^/@]*@/, '//…@') : value
  throw invalidArgument('a URL such as http://localhost:8000/v1', 'urls', shown)
}

function checkText(value: unknown, name: string): string {
  if (typeof value === 'string' && value.trim() !== '') return value
  throw invalidArgument('a text', name, value)
}

function optional(value: unknown, check: (value: unknown) => unknown): void {
  if (value !== undefined) check(value)
}

/** The spec with its paths as they are from anywhere. */
export function withAbsolutePaths<T extends EngineSpec>(spec: T): T {
  const paths = Object.entries(spec).map(([name, value]) => {
    const isPath = ['path', 'cache', 'tokenizer', 'log'].includes(name) && typeof value === 'string'
    return [name, isPath ? resolve(value) : value]
  })
  return Object.fromEntries(paths) as T
}
