import type { GroupOption, NumberOption, Option, Options, TextOption } from '../../options/option.js'
import type { ClientOptions, EmbeddedSpec, ServedSpec, ServerSpec, TimeoutSeconds } from './engineOptions.js'

const path = (meaning: string): TextOption => ({ type: 'text', expected: 'a path', meaning })
const text = (meaning: string): TextOption => ({ type: 'text', meaning })
const atOnce = { type: 'integer', least: 1, most: 100_000 } as const
const seconds = { type: 'number', least: 0, most: 2_000_000 } as const satisfies Partial<NumberOption>

export const timeoutKeys = {
  connect: { ...seconds, default: 10, meaning: 'seconds until a connection is made' },
  firstByte: {
    ...seconds,
    default: 0,
    meaning: "seconds until the first byte of an answer, which may wait in the server's queue",
  },
  idle: { ...seconds, default: 600, meaning: 'seconds between two chunks of an answer' },
  total: { ...seconds, default: 7200, meaning: 'seconds for an answer in all' },
  down: {
    ...seconds,
    default: 600,
    meaning: 'seconds for which a server that was there may be away, or say 503, before its requests fail',
  },
} as const satisfies Record<keyof TimeoutSeconds, Option>

export const clientKeys = {
  concurrency: {
    ...atOnce,
    default: 64,
    meaning: 'requests at the same time to each server at most',
    more: 'There are few at first, and more while that makes answers come faster. No other limit is hidden behind it',
  },
  requestsPerMinute: {
    type: 'integer',
    least: 1,
    most: 1_000_000_000,
    defaultText: 'no limit',
    meaning: 'requests in any minute at most',
  },
  tokensPerMinute: {
    type: 'integer',
    least: 1,
    most: 1_000_000_000_000,
    defaultText: 'no limit',
    meaning: 'tokens of prompts and answers in any minute at most',
    more: 'Tokens of answers are foreseen by the mean of the last 50',
  },
  attempts: {
    type: 'integer',
    least: 1,
    most: 1000,
    default: 8,
    meaning: 'requests for one answer at most, while its server can be reached',
  },
  timeouts: { type: 'group', interface: 'TimeoutSeconds', options: timeoutKeys, meaning: 'time limits; 0 is none' },
  api: {
    type: 'choice',
    choices: ['chat', 'completions'],
    default: 'chat',
    meaning:
      "`chat`: the server's template writes messages. `completions`: that of `tokenizer` does, here, and the server gets a text",
  },
  model: { ...text('name under which servers have the model'), defaultText: 'the only one that they have' },
} as const satisfies Record<keyof ClientOptions, Option>

const client: GroupOption = {
  type: 'group',
  interface: 'ClientOptions',
  options: clientKeys,
  meaning: 'what a client of servers does',
}

export const embeddedKeys = {
  path: { ...path('directory of the checkpoint'), required: true },
  cache: {
    ...path('directory of the GGUF files that are made of checkpoints'),
    defaultText: '`branchmerge` in $XDG_CACHE_HOME, or in ~/.cache',
  },
  concurrency: { ...atOnce, defaultText: '8, fewer where the memory holds fewer', meaning: 'answers at the same time' },
  contextLength: {
    type: 'integer',
    least: 1,
    most: 2 ** 31 - 1,
    defaultText: 'what the model was trained with, less where the memory holds less',
    meaning: 'tokens of prompt and answer together',
  },
  gpuLayers: {
    type: 'integer',
    least: 0,
    most: 1_000_000,
    defaultText: 'as many as fit',
    meaning: 'layers on the GPU, where llama.cpp has one',
  },
  threads: {
    type: 'integer',
    least: 1,
    most: 1024,
    defaultText: 'all cores that this process may use, fewer for a model of a few megabytes',
    meaning: 'threads of llama.cpp',
  },
} as const satisfies Record<keyof EmbeddedSpec, Option>

/** What {@link ServerSpec} has beside the options of every client. */
export const serverKeys = {
  urls: {
    type: 'list',
    expected: 'a list of URLs',
    least: 1,
    items: { type: 'text', expected: 'a URL', meaning: '' },
    required: true,
    meaning: 'base URLs, `http://host:8000/v1`; each request goes to the one with the fewest outstanding',
  },
  tokenizer: path('directory with the tokenizer and chat template; needed for messages with `api: completions`'),
  apiKeyVariable: {
    ...text('environment variable that holds the key'),
    expected: 'the name of a variable',
  },
  headers: {
    type: 'other',
    typescript: 'Readonly<Record<string, string>>',
    expected: 'texts by name',
    schema: {
      $comment: 'texts by name',
      type: 'object',
      additionalProperties: { $comment: 'a text', type: 'string' },
    },
    meaning: 'further headers. Their values are written nowhere',
  },
} as const satisfies Record<Exclude<keyof ServerSpec, keyof ClientOptions | 'apiKey'>, Option>

/** A key stands in no file: only the API has it. */
export const apiKey = { ...text('sent as a bearer token, and written nowhere') } as const satisfies Option

/** What {@link ServedSpec} has beside the options of every client. */
export const servedKeys = {
  path: embeddedKeys.path,
  serve: {
    ...text('command line that serves the checkpoint: `vllm serve {model} --port {port}`. No shell reads it'),
    required: true,
  },
  startTimeout: {
    type: 'number',
    least: 1,
    most: 2_000_000,
    default: 1800,
    meaning: 'seconds until the command must answer',
  },
  log: {
    ...path('file that takes what the command prints'),
    defaultText: "one in the system's directory for temporary files",
  },
} as const satisfies Record<Exclude<keyof ServedSpec, keyof ClientOptions>, Option>

/** The three kinds of engine. */
export const engineGroups = {
  embedded: {
    type: 'group',
    interface: 'EmbeddedSpec',
    options: embeddedKeys,
    meaning: 'a model that is a directory, through llama.cpp in this process',
  },
  server: {
    type: 'group',
    interface: 'ServerSpec',
    base: client,
    options: { ...serverKeys, apiKey },
    meaning: 'a model behind servers that speak the API of OpenAI',
  },
  served: {
    type: 'group',
    interface: 'ServedSpec',
    base: client,
    options: servedKeys,
    meaning: 'a checkpoint and the command that serves it, for as long as the engine is open',
  },
} as const satisfies Record<string, GroupOption>

const optional = (options: Options): Options =>
  Object.fromEntries(
    Object.entries(options).map(([name, { required: _, ...option }]) => [name, option as Option] as const),
  )

/** What a file may say of any engine. */
export const engineKeys: Options = optional({
  ...embeddedKeys,
  ...servedKeys,
  ...serverKeys,
  ...clientKeys,
  concurrency: {
    ...atOnce,
    defaultText: '64 for a server, 8 without one',
    meaning: 'requests at the same time at most',
  },
})
