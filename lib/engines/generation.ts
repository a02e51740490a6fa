import type { SamplingOptions } from './samplingOptions.js'

/** One message of a conversation that an engine continues. */
export interface Message {
  role: 'system' | 'user' | 'assistant'
  content: string
}

/** What is asked: messages, which the model's own chat template renders, or the rendered text itself. */
export type Prompt = { messages: readonly Message[]; text?: undefined } | { text: string; messages?: undefined }

/** How answers are sampled. Every parameter is sent, so that no server's default decides. */
export type Sampling = { [K in keyof SamplingOptions]-?: Exclude<SamplingOptions[K], undefined> }

export interface GenerationRequest {
  prompt: Prompt
  sampling: Sampling
  /** An unsigned 32-bit number. */
  seed: number
  signal?: AbortSignal | undefined
  /** Called when its turn comes: before that nobody works on it. */
  onStart?: (() => void) | undefined
  /** Called as tokens arrive, with how many so far. */
  onTokens?: ((tokens: number) => void) | undefined
}

/** `stop`: the model ended it, or a stop text did; `length`: the limit of tokens did. Others as the server names them. */
export type FinishReason = 'stop' | 'length' | (string & {})

/** One answer, as it came. */
export interface Generation {
  /** The answer's text, with whatever tags the model wrote. */
  text: string
  /** Reasoning that the server separated from the text; null where it separates none. */
  reasoning: string | null
  /** True where the chat template already opened the reasoning (`<think>` ends the prompt). */
  thinkOpened: boolean
  finish: FinishReason
  usage: {
    promptTokens: number | null
    /** Reasoning included. */
    completionTokens: number | null
    /** True where the engine said it; false where it is counted from the stream. */
    exact: boolean
  }
  /** Milliseconds since the request was made, of the first token and the last. */
  times: { first: number | null; last: number }
  /** Requests that it took. */
  attempts: number
  /** The limit that was in force: less than was asked where the context is shorter. */
  maxTokens: number
  /** Who answered: the base URL, or `embedded`. */
  server: string
}

/** What an engine is, as far as it determines answers: part of the key of each answer. */
export interface EngineIdentity {
  kind: 'embedded' | 'chat' | 'completions'
  /** The name under which a server has the model, or the checkpoint's content hash. */
  model: string
  /** Whatever else determines answers, in an order that does not change: quantisation, template hash. */
  details: Readonly<Record<string, string | number | boolean | null>>
}

/** Something that answers. */
export interface Engine {
  readonly identity: EngineIdentity
  /** What the server said of itself: version, capabilities. For the record; not part of keys. */
  readonly description: Readonly<Record<string, unknown>>
  /** Requests that it can use at the same time; it queues what is more, so callers may ask for all at once. */
  readonly concurrency: number
  /** @throws ERR_ENGINE where it cannot answer after its retries, or is closed; the signal's reason after an abort */
  generate(request: GenerationRequest): Promise<Generation>
  /** Tokens of a prompt, or null where the engine cannot say. */
  countTokens(prompt: Prompt): Promise<number | null>
  close(): Promise<void>
}
