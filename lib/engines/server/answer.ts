import type { FinishReason } from '../generation.js'
import { errorOf, eventFailure, RequestFailure } from './failure.js'

/** What an answer consists of, as its pieces arrive. */
export interface Answer {
  text: string
  /** Null where the server separates none. */
  reasoning: string | null
  finish: FinishReason | undefined
  promptTokens: number | null
  completionTokens: number | null
  /** Pieces with text: servers send one for each token, or nearly. */
  pieces: number
  /** Milliseconds of the clock. */
  first: number | null
  last: number
  /** Field that the reasoning came in. */
  reasoningField: 'reasoning_content' | 'reasoning' | 'content' | undefined
  model: string | undefined
  systemFingerprint: string | undefined
}

interface Options {
  /** As messages name the server. */
  url: string
  now: () => number
  onPieces?: ((pieces: number) => void) | undefined
}

/** The server could not go on: its process ends, or lacks resources. The same request may go well another time. */
const passingFinishes = new Set(['abort', 'error', 'insufficient_system_resource', 'cancelled'])
const finishNames: Readonly<Record<string, FinishReason>> = {
  eos: 'stop',
  eos_token: 'stop',
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
}

/** Puts an answer together from the chunks of a stream, or takes it from a whole response. */
export class AnswerReader {
  isDone = false
  /** The response came in one piece, which says nothing of its tokens. */
  isWhole = false
  readonly answer: Answer = {
    text: '',
    reasoning: null,
    finish: undefined,
    promptTokens: null,
    completionTokens: null,
    pieces: 0,
    first: null,
    last: 0,
    reasoningField: undefined,
    model: undefined,
    systemFingerprint: undefined,
  }
  private readonly text: string[] = []
  private readonly reasoning: string[] = []

  constructor(private readonly options: Options) {}

  /** An event of the stream. @throws RequestFailure */
  event(data: string, event: string): void {
    const text = data.trim()
    if (text === '') return
    if (text === '[DONE]') {
      this.isDone = true
      return
    }
    for (const value of this.valuesOf(text)) {
      if (event === 'error' || errorOf(value)) throw eventFailure(value, this.options.url)
      this.chunk(value as Chunk)
    }
  }

  /** A response that was not streamed: white space may stand before its JSON. @throws RequestFailure */
  whole(text: string): void {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      const begin = text.trim().slice(0, 100)
      throw new RequestFailure('passing', `${this.options.url} answered neither events nor JSON: ${begin}`, { cause })
    }
    if (errorOf(value)) throw eventFailure(value, this.options.url)
    this.chunk(value as Chunk)
    this.isWhole = true
    this.isDone = true
  }

  /** The answer. @throws RequestFailure where it is not complete */
  end(): Answer {
    const { answer, options } = this
    answer.text = this.text.join('')
    if (this.reasoning.length > 0) answer.reasoning = this.reasoning.join('')
    if (answer.finish === undefined) {
      throw new RequestFailure(
        'passing',
        `${options.url}: the answer ended without a finish_reason, after ${answer.pieces} pieces`,
      )
    }
    if (passingFinishes.has(answer.finish)) {
      throw new RequestFailure('passing', `${options.url}: the server gave up with finish_reason ${answer.finish}`)
    }
    return answer
  }

  /** One value; several where a server ends events with one line break only. */
  private valuesOf(text: string): unknown[] {
    try {
      return [JSON.parse(text)]
    } catch (cause) {
      const lines = text.split('\n').map((line) => line.trim())
      try {
        const values = lines.filter((line) => line !== '' && line !== '[DONE]').map((line) => JSON.parse(line))
        if (lines.includes('[DONE]')) this.isDone = true
        return values
      } catch {
        throw new RequestFailure(
          'passing',
          `${this.options.url} sent an event that is no JSON: ${text.slice(0, 100)}`,
          { cause },
        )
      }
    }
  }

  private chunk(chunk: Chunk): void {
    const { answer } = this
    if (typeof chunk.model === 'string') answer.model = chunk.model
    if (typeof chunk.system_fingerprint === 'string') answer.systemFingerprint = chunk.system_fingerprint
    const usage = chunk.usage
    if (typeof usage?.prompt_tokens === 'number') answer.promptTokens = usage.prompt_tokens
    if (typeof usage?.completion_tokens === 'number') answer.completionTokens = usage.completion_tokens
    const choice = chunk.choices?.[0]
    if (!choice) return
    const part = choice.delta ?? choice.message ?? { content: choice.text }
    const content = contentOf(part.content)
    const separated = reasoningOf(part)
    const reasoning = separated.text + content.reasoning
    if (reasoning !== '') {
      this.reasoning.push(reasoning)
      answer.reasoningField ??= separated.field ?? 'content'
    }
    const text = content.text + (typeof part.refusal === 'string' ? part.refusal : '')
    if (text !== '') this.text.push(text)
    if (text !== '' || reasoning !== '') {
      answer.last = this.options.now()
      answer.first ??= answer.last
      answer.pieces++
      this.options.onPieces?.(answer.pieces)
    }
    if (typeof choice.finish_reason === 'string') {
      answer.finish = finishNames[choice.finish_reason] ?? choice.finish_reason
    }
  }
}

interface Part {
  content?: unknown
  reasoning_content?: unknown
  reasoning?: unknown
  refusal?: unknown
}

interface Chunk {
  model?: unknown
  system_fingerprint?: unknown
  usage?: { prompt_tokens?: unknown; completion_tokens?: unknown } | null
  choices?: { delta?: Part; message?: Part; text?: unknown; finish_reason?: unknown }[]
}

/** vLLM 0.11 sends both fields with the same text, others one of them. */
function reasoningOf(part: Part): { text: string; field: 'reasoning_content' | 'reasoning' | undefined } {
  for (const field of ['reasoning_content', 'reasoning'] as const) {
    const text = part[field]
    if (typeof text === 'string' && text !== '') return { text, field }
  }
  return { text: '', field: undefined }
}

/** A text, or a list of parts, as Mistral has them for what is thought. */
function contentOf(content: unknown): { text: string; reasoning: string } {
  if (typeof content === 'string') return { text: content, reasoning: '' }
  if (!Array.isArray(content)) return { text: '', reasoning: '' }
  let [text, reasoning] = ['', '']
  for (const part of content as { type?: unknown; text?: unknown; thinking?: unknown }[]) {
    if (part?.type === 'thinking')
      reasoning += typeof part.thinking === 'string' ? part.thinking : contentOf(part.thinking).text
    else if (typeof part?.text === 'string') text += part.text
  }
  return { text, reasoning }
}
