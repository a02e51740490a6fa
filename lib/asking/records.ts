import type { Prompt } from '../engines/generation.js'

/** An answer as it came, in a file of lines. Who asked what adds its own fields. */
export interface StoredAnswer {
  v: 1
  /** SHA-256 over all that determines the answer. */
  key: string
  prompt: Prompt
  /** Of this request. */
  requestSeed: number
  text: string
  reasoning: string | null
  thinkOpened: boolean
  finish: string
  tokens: { prompt: number | null; completion: number | null; exact: boolean }
  /** When it was asked (ISO 8601), and milliseconds from then to the first token and the last. */
  times: { asked: string; first: number | null; last: number }
  attempts: number
  maxTokens: number
  server: string
  error?: undefined
}

/** Why no answer came. It is asked for again. */
export interface StoredFailure {
  v: 1
  key: string
  error: { code: string; message: string }
  times: { asked: string }
}
