// Written from engineKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.

/** A model that is a directory, through llama.cpp in this process. */
export interface EmbeddedSpec {
  /** Directory of the checkpoint. */
  path: string
  /**
   * Directory of the GGUF files that are made of checkpoints. Default: branchmerge in $XDG_CACHE_HOME, or in ~/.cache.
   */
  cache?: string | undefined
  /** Answers at the same time. An integer from 1 to 100000. Default: 8, fewer where the memory holds fewer. */
  concurrency?: number | undefined
  /**
   * Tokens of prompt and answer together. An integer from 1 to 2147483647. Default: what the model was trained with,
   * less where the memory holds less.
   */
  contextLength?: number | undefined
  /** Layers on the GPU, where llama.cpp has one. An integer from 0 to 1000000. Default: as many as fit. */
  gpuLayers?: number | undefined
  /**
   * Threads of llama.cpp. An integer from 1 to 1024. Default: all cores that this process may use, fewer for a model of
   * a few megabytes.
   */
  threads?: number | undefined
}

/** A model behind servers that speak the API of OpenAI. */
export interface ServerSpec extends ClientOptions {
  /** Base URLs, http://host:8000/v1; each request goes to the one with the fewest outstanding. */
  urls: readonly string[]
  /** Directory with the tokenizer and chat template; needed for messages with api: completions. */
  tokenizer?: string | undefined
  /** Environment variable that holds the key. */
  apiKeyVariable?: string | undefined
  /** Further headers. Their values are written nowhere. */
  headers?: Readonly<Record<string, string>> | undefined
  /** Sent as a bearer token, and written nowhere. */
  apiKey?: string | undefined
}

/** What a client of servers does. */
export interface ClientOptions {
  /** Requests at the same time to each server at most. An integer from 1 to 100000. Default: 64. */
  concurrency?: number | undefined
  /** Requests in any minute at most. An integer from 1 to 1000000000. Default: no limit. */
  requestsPerMinute?: number | undefined
  /** Tokens of prompts and answers in any minute at most. An integer from 1 to 1000000000000. Default: no limit. */
  tokensPerMinute?: number | undefined
  /** Requests for one answer at most, while its server can be reached. An integer from 1 to 1000. Default: 8. */
  attempts?: number | undefined
  /** Time limits; 0 is none. */
  timeouts?: TimeoutSeconds | undefined
  /**
   * chat: the server's template writes messages. completions: that of tokenizer does, here, and the server gets a text.
   * Default: chat.
   */
  api?: 'chat' | 'completions' | undefined
  /** Name under which servers have the model. Default: the only one that they have. */
  model?: string | undefined
}

/** Time limits; 0 is none. */
export interface TimeoutSeconds {
  /** Seconds until a connection is made. A number from 0 to 2000000. Default: 10. */
  connect?: number | undefined
  /**
   * Seconds until the first byte of an answer, which may wait in the server's queue. A number from 0 to 2000000.
   * Default: 0.
   */
  firstByte?: number | undefined
  /** Seconds between two chunks of an answer. A number from 0 to 2000000. Default: 600. */
  idle?: number | undefined
  /** Seconds for an answer in all. A number from 0 to 2000000. Default: 7200. */
  total?: number | undefined
  /**
   * Seconds for which a server that was there may be away, or say 503, before its requests fail. A number from 0 to
   * 2000000. Default: 600.
   */
  down?: number | undefined
}

/** A checkpoint and the command that serves it, for as long as the engine is open. */
export interface ServedSpec extends ClientOptions {
  /** Directory of the checkpoint. */
  path: string
  /** Command line that serves the checkpoint: vllm serve {model} --port {port}. No shell reads it. */
  serve: string
  /** Seconds until the command must answer. A number from 1 to 2000000. Default: 1800. */
  startTimeout?: number | undefined
  /** File that takes what the command prints. Default: one in the system's directory for temporary files. */
  log?: string | undefined
}
