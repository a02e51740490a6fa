import { isMapping } from '../../validate.js'
import type { Generation, Prompt, Sampling } from '../generation.js'
import { AnswerReader } from '../server/answer.js'
import { errorOf, RequestFailure } from '../server/failure.js'

/** Most requests and bytes of one file: what OpenAI's batch API takes. */
export const batchLimits = { requests: 50_000, bytes: 200_000_000 } as const

export interface BatchRequest {
  /** At most 64 letters, digits, - and _. */
  customId: string
  model: string
  prompt: Prompt
  sampling: Sampling
  seed: number
}

/** Parameters that OpenAI's API refuses; other servers take them. They are sent where they change anything. */
function furtherParameters({ topK, minP, repetitionPenalty }: Sampling): Record<string, number> {
  return {
    ...(topK > 0 && { top_k: topK }),
    ...(minP > 0 && { min_p: minP }),
    ...(repetitionPenalty !== 1 && { repetition_penalty: repetitionPenalty }),
  }
}

/** A line of a file of requests, as OpenAI's batch API and `vllm run-batch` read it. */
export function batchLine({ customId, model, prompt, sampling, seed }: BatchRequest): string {
  const { temperature, topP, presencePenalty, frequencyPenalty, maxTokens, stop } = sampling
  const asked = prompt.messages ? { messages: prompt.messages } : { prompt: prompt.text }
  return JSON.stringify({
    custom_id: customId,
    method: 'POST',
    url: prompt.messages ? '/v1/chat/completions' : '/v1/completions',
    body: {
      model,
      ...asked,
      max_tokens: maxTokens,
      temperature,
      top_p: topP,
      presence_penalty: presencePenalty,
      frequency_penalty: frequencyPenalty,
      seed,
      ...(stop.length > 0 && { stop }),
      ...furtherParameters(sampling),
    },
  })
}

/** What a line of a file of results says. */
export interface BatchResult {
  customId: string
  outcome: { answer: BatchAnswer } | { failure: string }
}

export interface BatchAnswer extends Pick<Generation, 'text' | 'reasoning' | 'finish' | 'usage'> {
  /** When it was made, where the server says so. */
  created: Date | undefined
}

/**
 * Reads a line of a file of results, or of errors. What the server refused is a failure.
 *
 * @throws Error, in words, where the line is none of such a file
 */
export function readBatchLine(text: string): BatchResult {
  let line: unknown
  try {
    line = JSON.parse(text)
  } catch (cause) {
    throw new Error(`expected JSON but ${(cause as Error).message}`, { cause })
  }
  if (!isMapping(line)) throw new Error('expected an object')
  const { custom_id: customId, response, error } = line
  if (typeof customId !== 'string') {
    throw new Error(`expected a text for custom_id but ${customId === undefined ? 'there is none' : 'it is none'}`)
  }
  return { customId, outcome: outcomeOf(response, error) }
}

function outcomeOf(response: unknown, error: unknown): BatchResult['outcome'] {
  if (isMapping(error)) return { failure: wordsOf({ error }, 'the request failed') }
  if (!isMapping(response)) return { failure: 'there is no response' }
  const { status_code: status, body } = response
  if (status !== undefined && status !== 200) return { failure: wordsOf(body, `HTTP ${status}`) }
  return readBody(body)
}

const wordsOf = (body: unknown, head: string): string => {
  const said = errorOf(body)
  return said ? `${head}: ${said.message}` : head
}

function readBody(given: unknown): BatchResult['outcome'] {
  const body = bodyOf(given)
  if (!body) return { failure: 'the response has no body' }
  const reader = new AnswerReader({ url: 'the batch', now: () => 0 })
  try {
    reader.whole(JSON.stringify(body))
    const { text, reasoning, finish = 'stop', promptTokens, completionTokens } = reader.end()
    const usage = { promptTokens, completionTokens, exact: completionTokens !== null }
    const created = typeof body.created === 'number' ? new Date(body.created * 1000) : undefined
    return { answer: { text, reasoning, finish, usage, created } }
  } catch (failure) {
    if (failure instanceof RequestFailure) return { failure: failure.message }
    throw failure
  }
}

/** Some store the body as a text. */
function bodyOf(given: unknown): Record<string, unknown> | undefined {
  if (isMapping(given)) return given
  if (typeof given !== 'string') return undefined
  try {
    const parsed: unknown = JSON.parse(given)
    return isMapping(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}
